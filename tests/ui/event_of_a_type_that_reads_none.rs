use doorbell::{Event, HandlerError, Receiver};

struct Level {
    left: f64,
}

async fn changed(level: Event<Level>) -> Result<(), HandlerError> {
    println!("{}", level.left);
    Ok(())
}

fn main() {
    let _ = Receiver::builder::<()>().on("cafe", "stock.*", changed);
}
