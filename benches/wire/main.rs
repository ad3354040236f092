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
    if let [one, size, frames, rounds] = &*arguments
        && one == "cmp"
    {
        let flood = server::Flood { size: size.parse().unwrap(), frames: frames.parse().unwrap(), topics: 1 };
        let kind = machine::Kind::Current;
        let (mut a, mut b) = (vec![], vec![]);
        for _ in 0..=rounds.parse().unwrap() {
            a.push(kind.run(|| async move {
                let c = machine::cpu();
                let r = receive::bare(server, flood).await;
                (r, (machine::cpu() - c) / flood.frames as f64)
            }));
            b.push(kind.run(|| async move {
                let c = machine::cpu();
                let r = receive::ours(server, flood).await;
                (r, (machine::cpu() - c) / flood.frames as f64)
            }));
        }
        let cpu = machine::median(a[1..].iter().zip(&b[1..]).map(|(a, b)| a.1 / b.1));
        let wall = machine::median(a[1..].iter().zip(&b[1..]).map(|(a, b)| b.0 / a.0));
        let best = |v: &[(f64, f64)]| machine::quantile(v.iter().map(|x| x.1), 0.1);
        print!("best {:.0}/{:.0}={:.3} ", best(&a), best(&b), best(&a) / best(&b));
        println!(
            "ratio by cpu {cpu:.3}, by wall {wall:.3}; cpu ns: bare {:.0} ours {:.0}",
            machine::median(a[1..].iter().map(|x| x.1)),
            machine::median(b[1..].iter().map(|x| x.1))
        );
    }
    if let [one, side, size, frames] = &*arguments
        && one == "once"
    {
        let flood = server::Flood { size: size.parse().unwrap(), frames: frames.parse().unwrap(), topics: 1 };
        let kind = machine::Kind::Current;
        let rate = if side == "bare" {
            kind.run(|| receive::bare(server, flood))
        } else {
            kind.run(|| receive::ours(server, flood))
        };
        println!("{rate}");
    }
}
