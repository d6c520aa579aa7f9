//! What the supervisor promises of sockets and counts, on real processes.

use super::*;

fn supervisor(root: &Path) -> Supervisor {
    for dir in ["run", "logs"] {
        std::fs::create_dir_all(root.join(dir)).unwrap();
    }
    let (events, _) = mpsc::channel(64);
    let (parts, listeners) = (BTreeMap::new(), HashMap::new());
    Supervisor { root: root.to_owned(), parts, listeners, events, runs: 0 }
}

fn spec(name: &str, listen: Option<SocketAddr>) -> Spec {
    Spec {
        name: name.into(),
        program: "/bin/sleep".into(),
        args: vec!["1000".into()],
        env: vec![("GIVEN".into(), "yes".into())],
        user: None,
        listen,
        port: 0,
        stage: 0,
        stop_by_interrupt: false,
        stop_timeout_s: 5,
        restart_limit: 3,
    }
}

#[tokio::test]
async fn a_socket_is_held_as_long_as_a_part_is_there_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut supervisor = supervisor(dir.path());
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let specs = vec![spec("app-1", Some(address)), spec("app-2", Some(address))];
    supervisor.obey(Request::Start { specs: specs.clone() }).await.unwrap();
    supervisor.obey(Request::Stop { names: vec!["app-2".into()] }).await.unwrap();
    supervisor.obey(Request::Restart { names: vec!["app-1".into()] }).await.unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    supervisor.obey(Request::Stop { names: vec!["app-1".into()] }).await.unwrap();
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody is there, and callers wait");
    // And back.
    supervisor.obey(Request::Start { specs }).await.unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    supervisor.shutdown().await;
}

#[test]
fn a_minute_of_running_makes_restarts_forgotten() {
    assert_eq!(counted(2, PartState::Running, Duration::from_secs(59)), 2);
    assert_eq!(counted(2, PartState::Running, Duration::from_secs(61)), 0);
    assert_eq!(counted(2, PartState::Failed, Duration::from_secs(61)), 2);
}

#[tokio::test]
async fn the_count_of_a_part_that_runs_is_forgotten_without_another_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut supervisor = supervisor(dir.path());
    supervisor.obey(Request::Start { specs: vec![spec("redis", None)] }).await.unwrap();
    let part = supervisor.parts.get_mut("redis").unwrap();
    part.record.restarts = 2;
    part.since = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
    supervisor.forgive();
    assert_eq!(supervisor.parts["redis"].record.restarts, 0);
    supervisor.shutdown().await;
}
