use doorbell::{HandlerError, Raw, Receiver};

fn changed(data: Raw) -> Result<(), HandlerError> {
    println!("{} bytes", data.0.len());
    Ok(())
}

fn main() {
    let _ = Receiver::builder::<()>().on("cafe", "stock.*", changed);
}
