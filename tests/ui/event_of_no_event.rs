use doorbell::{Event, HandlerError, Receiver};

struct Level {
    left: u32,
}

async fn changed(level: Event<Level>) -> Result<(), HandlerError> {
    println!("{} left", level.left);
    Ok(())
}

fn main() {
    let _ = Receiver::builder::<()>().on("cafe", "stock.*", changed);
}
