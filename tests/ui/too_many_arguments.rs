use doorbell::{Attempt, Delivery, HandlerError, Job, Raw, Receiver, State};

async fn changed(_: Raw, _: Job, _: Delivery, _: Attempt, _: State<()>) -> Result<(), HandlerError> {
    Ok(())
}

fn main() {
    let _ = Receiver::builder::<()>().on("cafe", "stock.*", changed);
}
