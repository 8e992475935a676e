use doorbell::{Raw, Receiver};

async fn changed(data: Raw) {
    println!("{} bytes", data.0.len());
}

fn main() {
    let _ = Receiver::builder::<()>().on("cafe", "stock.*", changed);
}
