//! The figures of this crate against the bare wire: `cargo bench`, or `cargo bench -- receive` for one section.

mod machine;
mod receive;
mod server;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |section: &str| arguments.is_empty() || arguments.iter().any(|argument| argument == section);
    let server = server::start(machine::last_core());
    if wanted("receive") {
        receive::run(server, 7);
    }
    if let [one, side, size, frames] = &*arguments
        && one == "once"
    {
        let flood = server::Flood { size: size.parse().unwrap(), frames: frames.parse().unwrap(), topics: 1 };
        let kind = machine::Kind::Current;
        let rate =
            if side == "bare" { kind.run(|| receive::bare(server, flood)) } else { kind.run(|| receive::ours(server, flood)) };
        println!("{rate}");
    }
}
