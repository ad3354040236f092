//! Law 12, where it takes frames that only a WebSocket has.

use phoenix_streams::{ConnectError, WebSocket, transport::Frame};

use super::cases::bed::{Bed, LIMIT};

// T-14, DEV-21
#[tokio::test]
async fn text_that_is_not_utf_8_costs_one_connection() {
    let mut bed = Bed::plain().await;
    bed.server.send_raw(Frame::Text(b"[null,null,\"room:target\",\"\xff\",{}]".to_vec().into()));
    bed.cost_one_connection(|cause| matches!(cause, ConnectError::Transport(_))).await;
}

// T-14
#[tokio::test]
async fn a_message_above_the_limit_costs_one_connection() {
    let small = WebSocket::default().max_message_size(LIMIT).max_frame_size(LIMIT);
    let mut bed = Bed::new(|builder| builder.transport(small)).await;
    let fits = format!(r#"[null,null,"room:nobody","e","{}"]"#, "x".repeat(LIMIT - 100));
    bed.text(&fits);
    bed.unharmed().await;
    bed.told();
    bed.text(&format!(r#"[null,null,"room:target","e","{}"]"#, "x".repeat(LIMIT)));
    bed.cost_one_connection(|cause| matches!(cause, ConnectError::Transport(_))).await;
}

// S-12, S-13, law 12
#[tokio::test]
async fn any_close_costs_one_connection() {
    let mut bed = Bed::plain().await;
    // Not 1000, behind which at least a second passes. Some of these may not be on the wire at all.
    for code in [0, 999, 1001, 1002, 1004, 1005, 1006, 1007, 1008, 1011, 1012, 1013, 1015, 2999, 3410, 4000, 65535] {
        bed.server.send_raw(Frame::Close { code, reason: "because".into() });
        let legal = matches!(code, 1001..=1003 | 1005 | 1007..=1014 | 3000..=4999);
        bed.cost_one_connection(|cause| match cause {
            // A code that may not be on the wire breaks the protocol, which is 1002.
            ConnectError::ClosedByServer { code: seen, .. } => *seen == if legal { code } else { 1002 },
            _ => false,
        })
        .await;
    }
    bed.server.send_raw(Frame::Close { code: 1001, reason: "r".repeat(200).into() });
    bed.cost_one_connection(|cause| !matches!(cause, ConnectError::ClosedByServer { .. })).await;
}
