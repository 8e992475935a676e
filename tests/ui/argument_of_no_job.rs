use doorbell::{HandlerError, Receiver};

async fn changed(element_id: String) -> Result<(), HandlerError> {
    println!("{element_id}");
    Ok(())
}

fn main() {
    let _ = Receiver::builder::<()>().on("cafe", "stock.*", changed);
}
