use std::rc::Rc;

use doorbell::{HandlerError, Receiver};

async fn changed() -> Result<(), HandlerError> {
    let count = Rc::new(1);
    std::future::ready(()).await;
    println!("{count}");
    Ok(())
}

fn main() {
    let _ = Receiver::builder::<()>().on("cafe", "stock.*", changed);
}
