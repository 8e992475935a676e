//! The `doorbell` command.

/// Deliveries are allocated by the threads that read them and freed by the one that stores them, which the system's
/// allocator is slow at. A program that embeds the library chooses its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    doorbell::cli::main()
}
