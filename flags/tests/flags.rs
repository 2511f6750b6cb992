//! Flags as an operator gives them: syntax, precedence, refusals, and what `/flags` shows.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use mesos_detector::Source;
use mesos_flags::{
    AgentFlags, FlagError, Input, MasterFlags, Notice, Start, agent,
    agent::{Launcher, ReconfigurationPolicy, Recover},
    master,
    master::Registry,
    table::{Kind, Status, Table},
};

fn input(args: &[&str]) -> Input {
    Input {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..Input::default()
    }
}

fn with_env(args: &[&str], env: &[(&str, &str)]) -> Input {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Input { env, ..input(args) }
}

fn run<T>(start: Start<T>) -> (T, Vec<Notice>) {
    match start {
        Start::Run(flags, notices) => (*flags, notices),
        Start::Print(text) => panic!("prints {text}"),
    }
}

fn agent(input: &Input) -> (AgentFlags, Vec<Notice>) {
    run(AgentFlags::load(input).unwrap())
}

fn agent_error(args: &[&str]) -> FlagError {
    AgentFlags::load(&input(args)).unwrap_err()
}

fn master(args: &[&str]) -> (MasterFlags, Vec<Notice>) {
    run(MasterFlags::load(&input(args)).unwrap())
}

fn warnings(notices: &[Notice]) -> Vec<&str> {
    notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Warning(text) => Some(text.as_str()),
            Notice::Info(_) => None,
        })
        .collect()
}

fn infos(notices: &[Notice]) -> Vec<&str> {
    notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Info(text) => Some(text.as_str()),
            Notice::Warning(_) => None,
        })
        .collect()
}

#[test]
fn the_bare_line_starts() {
    let (flags, notices) = agent(&input(&["--containerizers=docker,mesos", "--ip=127.0.0.1"]));
    assert_eq!(flags.master.to_string(), "127.0.0.1:5050");
    assert_eq!(flags.work_dir, Path::new("/var/lib/mesos"));
    assert_eq!(flags.containerizers, ["docker", "mesos"]);
    assert_eq!(
        (flags.port, flags.gc_delay),
        (5051, Duration::from_secs(7 * 86_400))
    );
    assert_eq!(infos(&notices).len(), 2, "{notices:?}");
    assert_eq!(warnings(&notices), [""; 0]);
    let (flags, notices) = master(&[]);
    assert_eq!(flags.registry, Registry::Directory("/var/lib/mesos".into()));
    assert_eq!(infos(&notices).len(), 1);
    let (flags, notices) = master(&["--registry=in_memory"]);
    assert_eq!(
        (flags.registry, flags.work_dir, notices),
        (Registry::InMemory, None, Vec::new())
    );
}

#[test]
fn containerizers_keep_the_order_given() {
    for order in ["docker,mesos", "mesos,docker"] {
        let (flags, _) = agent(&input(&[&format!("--containerizers={order}")]));
        assert_eq!(flags.containerizers.join(","), order);
        assert_eq!(flags.effective["containerizers"], order);
    }
    assert_eq!(
        agent_error(&["--containerizers=mesos,rocket"]).to_string(),
        "flag --containerizers: 'mesos,rocket' (from the command line) is not valid: there is no containerizer \
         'rocket'; expecting mesos, docker or both, separated by a comma"
    );
    assert!(
        agent_error(&["--containerizers=mesos,mesos"])
            .to_string()
            .contains("'mesos' is listed twice")
    );
}

#[test]
fn booleans_have_four_spellings() {
    for (args, expected) in [
        (&["--strict"][..], true),
        (&["--strict=1"], true),
        (&["--strict=true"], true),
        (&["--strict="], true),
        (&["--no-strict"], false),
        (&["--no-strict="], false),
        (&["--strict=0"], false),
        (&["--STRICT=false"], false),
        (&["--", "--no-strict"], true),
    ] {
        assert_eq!(agent(&input(args)).0.strict, expected, "{args:?}");
    }
}

#[test]
fn mistakes_on_the_command_line_are_named() {
    for (args, expected) in [
        (
            &["--workdir=/x"][..],
            "unknown flag --workdir (from the command line); did you mean --work_dir?",
        ),
        (
            &["--frobnicate"],
            "unknown flag --frobnicate (from the command line)",
        ),
        (
            &["--no-work_dir"],
            "--no-work_dir is not possible: --work_dir is not a boolean flag",
        ),
        (
            &["--no-strict=yes"],
            "--no-strict=yes is not possible: write --no-strict, or --strict=true, or --strict=false",
        ),
        (
            &["--master", "10.0.0.2:5050"],
            "flag --master needs a value: write --master=VALUE, with the equals sign",
        ),
        (
            &["--port=1", "--port=2"],
            "flag --port is given more than once on the command line",
        ),
        (
            &["--strict", "--no-strict"],
            "flag --strict is given more than once on the command line",
        ),
        (
            &["--port=70000"],
            "flag --port: '70000' (from the command line) is not valid: expecting a port from 0 to 65535, where 0 takes a free one",
        ),
        (
            &["--gc_disk_headroom=1.5"],
            "flag --gc_disk_headroom: '1.5' (from the command line) is not valid: expecting a number from 0 to 1",
        ),
        (
            &["--recover=maybe"],
            "flag --recover: 'maybe' (from the command line) is not valid: expecting one of reconnect, cleanup",
        ),
        (
            &["--master=zk://u:p@a:2181"],
            "flag --master: 'zk://***@a:2181' (from the command line) is not valid: Expecting a (chroot) path for ZooKeeper ('/' is not supported)",
        ),
        (
            &["--master=host:port"],
            "flag --master: 'host:port' (from the command line) is not valid: `host:port` is not the address of a master: `port` is not a port from 1 to 65535; expecting HOST:PORT, such as 10.0.0.2:5050",
        ),
        (
            &["--master=file:///nonexistent/x"],
            "flag --master: 'file:///nonexistent/x' (from the command line) is not valid: cannot read /nonexistent/x: No such file or directory (os error 2)",
        ),
        (
            &["--zk_session_timeout=1ms"],
            "flag --zk_session_timeout: '1ms' (from the command line) is not valid: expecting a duration from 100ms to 1days",
        ),
        (
            &["--ip=1.2.3.4", "--ip_discovery_command=echo 1.2.3.4"],
            "--ip and --ip_discovery_command exclude each other; give one of them",
        ),
    ] {
        assert_eq!(agent_error(args).to_string(), expected, "{args:?}");
    }
    for (args, part) in [
        (&["--gc_delay=5s"][..], "weeks"),
        (&["--fetcher_cache_size=1.5GB"], "KB"),
        (&["--resources=cpus:-1"], "cpus"),
        (&["--attributes=rack"], "rack"),
        (&["--attributes=rack:{a,b}"], "set"),
        (&["--domain={}"], "fault_domain"),
        (
            &["--default_container_info={\"type\":5x}"],
            "--default_container_info",
        ),
        (
            &["--executor_environment_variables={\"A\":1}"],
            "JSON object of texts",
        ),
        (&["--default_role=a/../b"], "--default_role"),
        (&["--executor_reregistration_timeout=16secs"], "15secs"),
        (&["--registration_backoff_factor=2mins"], "1mins"),
        (&["--sandbox_directory=mnt"], "absolute"),
    ] {
        let text = agent_error(args).to_string();
        assert!(text.contains(part), "{args:?}: {text}");
    }
}

#[test]
fn stray_arguments_are_told_and_skipped() {
    let (flags, notices) = agent(&input(&["x", " --port=6000 ", "-v"]));
    assert_eq!(flags.port, 6000);
    assert_eq!(warnings(&notices).len(), 2, "{notices:?}");
}

#[test]
fn the_environment_comes_after_the_command_line_and_may_hold_strangers() {
    let env = [
        ("MESOS_PORT", "6001"),
        ("MESOS_WORK_DIR", "/env"),
        ("MESOS_NO_STRICT", ""),
        ("MESOS_SLAVE_PID", "slave(1)@1.2.3.4:5051"),
        ("MESOS_SANDBOX", "/x"),
        ("PORT", "1"),
    ];
    let (flags, notices) = agent(&with_env(&["--port=6000"], &env));
    assert_eq!(
        (flags.port, flags.work_dir.as_path(), flags.strict),
        (6000, Path::new("/env"), false)
    );
    assert_eq!(warnings(&notices), [""; 0]);
    let error = AgentFlags::load(&with_env(&[], &[("MESOS_PORT", "x")])).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("from the environment variable MESOS_PORT"),
        "{error}"
    );
    let (flags, _) = agent(&with_env(
        &[],
        &[
            ("LIBPROCESS_IP", "127.0.0.9"),
            ("LIBPROCESS_ADVERTISE_PORT", "7"),
        ],
    ));
    assert_eq!(
        (flags.ip, flags.advertise_port),
        (Some([127, 0, 0, 9].into()), Some(7))
    );
    assert_eq!(flags.reachable_ip().to_string(), "127.0.0.9");
}

#[test]
fn files_stand_for_values() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).unwrap();
        dir.path().join(name).display().to_string()
    };
    let resources = file("resources", "cpus:2;mem:64\n");
    let master = file("master", "10.0.0.2:5050\n");
    let delay = file("delay", "2days\n");
    let info = file("info", "{\"type\":\"DOCKER\",\"docker\":{\"image\":\"x\"}}");
    let (flags, notices) = agent(&input(&[
        &format!("--resources=file://{resources}"),
        &format!("--master=file://{master}"),
        &format!("--gc_delay=file://{delay}"),
        &format!("--default_container_info={info}"),
    ]));
    assert_eq!(flags.resources.as_deref(), Some("cpus:2;mem:64"));
    // It is read again later, so it stays a file.
    assert_eq!(flags.master.to_string(), format!("file://{master}"));
    assert_eq!(flags.gc_delay, Duration::from_secs(2 * 86_400));
    assert_eq!(
        flags.default_container_info.unwrap().docker.unwrap().image,
        "x"
    );
    assert!(warnings(&notices)[0].contains("bare path"), "{notices:?}");
    let error = agent_error(&["--resources=file:///nonexistent/x"]);
    assert_eq!(
        error.to_string(),
        "flag --resources: cannot read /nonexistent/x"
    );
}

#[test]
fn old_names_work_with_a_warning_and_count_as_the_same_flag() {
    let (flags, notices) =
        run(MasterFlags::load(&input(&["--slave_ping_timeout=20secs"])).unwrap());
    assert_eq!(flags.agent_ping_timeout, Duration::from_secs(20));
    assert_eq!(
        warnings(&notices),
        ["--slave_ping_timeout (from the command line) is an old name; use --agent_ping_timeout"]
    );
    let twice = ["--slave_ping_timeout=20secs", "--agent_ping_timeout=20secs"];
    assert!(matches!(
        MasterFlags::load(&input(&twice)),
        Err(FlagError::Twice { .. })
    ));
}

#[test]
fn what_is_not_built_warns_once_and_what_restricts_is_refused() {
    let (_, notices) = agent(&input(&[
        "--image_providers=docker",
        "--perf_interval=1mins",
    ]));
    assert_eq!(
        warnings(&notices),
        [
            "--image_providers (from the command line) is accepted and has no effect: it is not built yet"
        ]
    );
    for (table, load) in [
        (
            &agent::TABLE,
            (|args: &[&str]| AgentFlags::load(&input(args)).map(drop)) as fn(&[&str]) -> _,
        ),
        (&master::TABLE, |args: &[&str]| {
            MasterFlags::load(&input(args)).map(drop)
        }),
    ] {
        for flag in table.flags() {
            let text = match flag.kind {
                Kind::Bool => "true",
                Kind::Json => "{}",
                Kind::Int => "7",
                Kind::Percent => "7%",
                Kind::Bytes => "7KB",
                _ => "x",
            };
            let arg = format!("--{}={text}", flag.name);
            match flag.status {
                Status::Restricts => {
                    let error = load(&[&arg]).unwrap_err();
                    assert!(
                        matches!(error, FlagError::Restricts { .. }),
                        "{arg}: {error}"
                    );
                }
                Status::Refused(_) => {
                    let error = load(&[&arg]).unwrap_err();
                    assert!(matches!(error, FlagError::Refused { .. }), "{arg}: {error}");
                }
                Status::Built | Status::NotBuilt => continue,
            }
            if let Some(default) = flag.default {
                load(&[&format!("--{}={default}", flag.name)]).expect("a default is never refused");
            }
        }
    }
    for (name, value) in [("LIBPROCESS_SSL_ENABLED", "1"), ("SSL_ENABLED", "true")] {
        let error = AgentFlags::load(&with_env(&[], &[(name, value)])).unwrap_err();
        assert!(matches!(error, FlagError::Tls { .. }), "{error}");
    }
    agent(&with_env(&[], &[("LIBPROCESS_SSL_ENABLED", "0")]));
}

#[test]
fn the_directories_of_the_packages_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let etc = dir.path();
    for (path, text) in [
        ("mesos/zk", "10.0.0.3:5050\n"),
        (
            "default/mesos",
            "# comment\nULIMIT=\"-n 8192\"\nLOGS=/var/log/mesos\nMESOS_GC_DELAY=3days\n",
        ),
        (
            "default/mesos-agent",
            "MASTER=`cat /etc/mesos/zk`\nexport ISOLATION='posix/cpu'\nMESOS_gc_delay=4days\nOTHER=x\n",
        ),
        ("mesos-agent/port", "6002\n"),
        ("mesos-agent/containerizers", "docker,mesos\n"),
        ("mesos-agent/?no-switch_user", ""),
        ("mesos-agent/.hidden", "x"),
        ("mesos-agent/attributes/rack", "r1\n"),
        ("mesos-agent/attributes/empty", ""),
        ("mesos-agent/attributes/zone", "z1\n"),
        ("mesos-slave/port", "6003\n"),
        ("mesos-slave/hostname", "old\n"),
        ("mesos-slave/resources/cpus", "2\n"),
    ] {
        let path = etc.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let read = |args: &[&str], env: &[(&str, &str)]| {
        agent(&Input {
            etc: Some(etc.to_owned()),
            ..with_env(args, env)
        })
    };
    let (flags, notices) = read(&["--containerizers=mesos"], &[("MESOS_HOSTNAME", "env")]);
    assert_eq!(flags.containerizers, ["mesos"]);
    assert_eq!(flags.hostname.as_deref(), Some("env"));
    assert_eq!(flags.port, 6002);
    assert!(!flags.switch_user);
    assert_eq!(flags.master, Source::File(etc.join("mesos/zk")));
    assert_eq!(flags.effective["master"], "10.0.0.3:5050");
    assert_eq!(flags.gc_delay, Duration::from_secs(4 * 86_400));
    assert_eq!(flags.isolation, ["posix/cpu"]);
    assert_eq!(
        flags.logging.log_dir.as_deref(),
        Some(Path::new("/var/log/mesos"))
    );
    assert_eq!(flags.effective["attributes"], "rack:r1;zone:z1");
    assert_eq!(flags.resources.as_deref(), Some("cpus:2"));
    let warnings = warnings(&notices);
    assert!(
        warnings
            .iter()
            .any(|text| text.starts_with("line 1 of") && text.contains("needs a shell")),
        "{warnings:?}"
    );
    assert!(
        warnings
            .iter()
            .any(|text| text.starts_with("line 2 of") && text.contains("limits")),
        "{warnings:?}"
    );
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(infos(&notices).iter().any(|text| text.contains("--port is taken from") && text.ends_with("mesos-agent/port")));

    fs::write(etc.join("mesos-agent/prot"), "1").unwrap();
    let error = AgentFlags::load(&Input {
        etc: Some(etc.to_owned()),
        ..input(&[])
    })
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("mesos-agent/prot") && text.ends_with("did you mean --port?"),
        "{text}"
    );

    fs::create_dir_all(etc.join("mesos-master")).unwrap();
    fs::write(etc.join("mesos-master/cluster"), "c1\n").unwrap();
    let error = MasterFlags::load(&Input {
        etc: Some(etc.to_owned()),
        ..input(&[])
    })
    .unwrap_err();
    assert!(error.to_string().contains("mesos/zk"), "{error}");
}

#[test]
fn values_come_typed() {
    let (flags, _) = agent(&input(&[
        "--recover=cleanup",
        "--reconfiguration_policy=additive",
        "--launcher=posix",
        "--isolation=cgroups/cpu,cgroups/mem",
        "--attributes=rack:r1;level:10",
        "--domain={\"fault_domain\":{\"region\":{\"name\":\"r\"},\"zone\":{\"name\":\"z\"}}}",
        "--executor_environment_variables={\"A\":\"b\"}",
        "--docker_socket=unix:///run/x.sock",
        "--firewall_rules={\"disabled_endpoints\":{\"paths\":[\"/files/debug\"]}}",
        "--docker_config={\"auths\":{\"r\":{\"auth\":\"c2VjcmV0\"}}}",
        "--launcher_dir=/opt/mesos",
        "--hostname=h",
    ]));
    assert_eq!(
        (flags.recover, flags.reconfiguration_policy),
        (Recover::Cleanup, ReconfigurationPolicy::Additive)
    );
    assert_eq!(flags.launcher, Some(Launcher::Posix));
    assert_eq!(flags.isolation, ["cgroups/cpu", "cgroups/mem"]);
    assert_eq!(flags.attributes.len(), 2);
    assert_eq!(
        flags
            .domain
            .as_ref()
            .unwrap()
            .fault_domain
            .as_ref()
            .unwrap()
            .zone
            .name,
        "z"
    );
    assert_eq!(
        flags.executor_environment_variables.as_ref().unwrap()["A"],
        "b"
    );
    assert_eq!(flags.docker_socket, Path::new("/run/x.sock"));
    assert_eq!(flags.disabled_endpoints, ["/files/debug"]);
    assert_eq!(flags.launcher_dir.as_deref(), Some(Path::new("/opt/mesos")));
    assert_eq!(flags.host_name(), "h");
    for secret in ["docker_config", "executor_environment_variables"] {
        assert_eq!(flags.effective[secret], "***");
    }
    let (flags, _) = master(&[
        "--roles=a,b",
        "--weights=a=2",
        "--offer_timeout=30secs",
        "--min_allocatable_resources=cpus:1;mem:2|disk:3",
        "--cluster=c",
        "--no-root_submissions",
        "--no-hostname_lookup",
        "--ip=127.0.0.1",
    ]);
    assert_eq!(
        flags.roles.as_deref(),
        Some(&["a".to_owned(), "b".to_owned()][..])
    );
    assert_eq!(flags.weights, BTreeMap::from([("a".to_owned(), 2.0)]));
    assert_eq!(flags.offer_timeout, Some(Duration::from_secs(30)));
    assert_eq!(flags.min_allocatable_resources.len(), 2);
    assert!(!flags.root_submissions);
    assert_eq!(flags.host_name(), "127.0.0.1");
    for bad in [
        "--agent_reregister_timeout=1mins",
        "--offer_timeout=0secs",
        "--registry_strict",
        "--weights=a",
        "--registry=etcd",
    ] {
        assert!(
            matches!(
                MasterFlags::load(&input(&[bad])),
                Err(FlagError::Invalid { .. })
            ),
            "{bad}"
        );
    }
}

#[test]
fn help_and_version_print_whatever_else_is_asked() {
    for args in [
        &["--help"][..],
        &["--nonsense", "--help"],
        &["--port=x", "--help=true"],
    ] {
        let Start::Print(text) = AgentFlags::load(&input(args)).unwrap() else {
            panic!("{args:?} runs")
        };
        for flag in agent::TABLE.flags() {
            assert!(text.contains(flag.name), "{} is not in the help", flag.name);
        }
    }
    let Start::Print(text) = MasterFlags::load(&input(&["--version"])).unwrap() else {
        panic!("runs")
    };
    assert!(text.starts_with("mesos 1.11.0\n"), "{text}");
}

#[test]
fn tables_are_sound() {
    for table in [&agent::TABLE, &master::TABLE] {
        let mut seen = Vec::new();
        for flag in table.flags() {
            for name in std::iter::once(&flag.name).chain(flag.aliases) {
                assert!(!seen.contains(name), "--{name} is declared twice");
                assert_eq!(*name, name.to_lowercase());
                seen.push(name);
            }
            assert!(
                flag.help.ends_with('.'),
                "--{}: help is a sentence",
                flag.name
            );
            assert!(
                !(flag.default.is_some() && flag.unset.is_some()),
                "--{}",
                flag.name
            );
        }
    }
}

/// What a real Mesos 1.11.0 showed, with the flags it was started with.
#[test]
fn effective_values_are_those_of_mesos() {
    fn recorded(text: &str) -> BTreeMap<String, String> {
        let mut whole: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_str(text).unwrap();
        whole.remove("flags").unwrap()
    }
    fn compare(
        table: &Table,
        args: &[String],
        effective: &BTreeMap<String, String>,
        want: &BTreeMap<String, String>,
    ) {
        for (name, value) in want {
            assert_eq!(effective.get(name), Some(value), "--{name} with {args:?}");
        }
        for name in effective.keys() {
            assert!(
                want.contains_key(name),
                "--{name} is shown, and Mesos does not show it"
            );
        }
        for name in want.keys() {
            assert!(table.find(name).is_some(), "--{name} is not in the table");
        }
    }
    // Given when the record was made, or found out on its host.
    let given_agent = [
        "appc_store_dir",
        "attributes",
        "cgroups_enable_cfs",
        "cgroups_root",
        "container_disk_watch_interval",
        "containerizers",
        "docker_store_dir",
        "enforce_container_disk_quota",
        "hostname",
        "image_providers",
        "ip",
        "isolation",
        "launcher",
        "launcher_dir",
        "logging_level",
        "master",
        "port",
        "resources",
        "runtime_dir",
        "systemd_enable_support",
        "work_dir",
    ];
    for text in [
        include_str!("golden/agent-flags.json"),
        include_str!("golden/agent-flags-plain.json"),
    ] {
        let want = recorded(text);
        let args: Vec<String> = given_agent
            .iter()
            .filter_map(|name| Some(format!("--{name}={}", want.get(*name)?)))
            .collect();
        let refs: Vec<&str> = args.iter().map(String::as_str).collect();
        let (flags, _) = agent(&input(&refs));
        compare(&agent::TABLE, &args, &flags.effective, &want);
    }
    let given_master = [
        "hostname",
        "ip",
        "logging_level",
        "port",
        "quorum",
        "work_dir",
    ];
    for text in [
        include_str!("golden/master-flags.json"),
        include_str!("golden/master-flags-plain.json"),
    ] {
        let want = recorded(text);
        let args: Vec<String> = given_master
            .iter()
            .filter_map(|name| Some(format!("--{name}={}", want.get(*name)?)))
            .collect();
        let refs: Vec<&str> = args.iter().map(String::as_str).collect();
        let (flags, _) = master(&refs);
        compare(&master::TABLE, &args, &flags.effective, &want);
    }
}

#[test]
fn the_reference_in_docs_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/flags.md");
    let text = mesos_flags::reference(&[&agent::TABLE, &master::TABLE]);
    if std::env::var_os("MESOS_RS_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "docs/flags.md is stale; MESOS_RS_BLESS=1 cargo test -p mesos-flags writes it anew"
    );
}

#[test]
fn masters_are_found_by_election_or_address() {
    let (flags, notices) = agent(&input(&[
        "--master=zk://user:secret@a:1,b:2/mesos",
        "--zk_session_timeout=5secs",
    ]));
    let Source::ZooKeeper(ensemble) = &flags.master else {
        panic!("{:?}", flags.master);
    };
    assert_eq!(ensemble.connect_string(), "a:1,b:2");
    assert_eq!(ensemble.path(), "/mesos");
    assert_eq!(ensemble.credentials().unwrap().password(), "secret");
    assert_eq!(flags.zk_session_timeout, Duration::from_secs(5));
    assert_eq!(flags.effective["master"], "zk://***@a:1,b:2/mesos");
    assert!(warnings(&notices).is_empty(), "{notices:?}");

    let (flags, notices) = master(&["--zk=zk://a:1/mesos", "--quorum=2", "--work_dir=/x"]);
    assert_eq!(flags.zk.unwrap().to_string(), "zk://a:1/mesos");
    assert_eq!(flags.quorum, Some(2));
    assert_eq!(flags.zk_session_timeout, Duration::from_secs(10));
    assert!(warnings(&notices).is_empty(), "{notices:?}");
    let (flags, _) = master(&["--zk=zk://a:1/mesos", "--registry=in_memory"]);
    assert_eq!(flags.quorum, None);

    let (flags, notices) = master(&["--quorum=2", "--work_dir=/x"]);
    assert_eq!(flags.zk, None);
    assert!(warnings(&notices)[0].contains("--quorum has no effect"));
}

#[test]
fn an_election_that_cannot_be_held_is_refused() {
    for (args, part) in [
        (
            &["--zk=zk://a:1/mesos"][..],
            "Need to specify --quorum for replicated log based registry when using ZooKeeper",
        ),
        (&["--zk=zk://a:1/", "--quorum=1"], "'/' is not supported"),
        (
            &["--zk=10.0.0.1:2181", "--quorum=1"],
            "expecting zk://HOST1:PORT1",
        ),
        (&["--zk=zk://a:1/mesos", "--quorum=0"], "from 1 to"),
    ] {
        let start = MasterFlags::load(&input(args));
        let error = start.unwrap_err().to_string();
        assert!(error.contains(part), "{args:?}: {error}");
    }
}

#[test]
fn the_file_of_the_packages_is_read_again_for_each_session() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("mesos")).unwrap();
    let zk = dir.path().join("mesos/zk");
    fs::write(&zk, "zk://a:1/mesos\n").unwrap();
    let (flags, _) = agent(&Input {
        etc: Some(dir.path().to_owned()),
        ..Input::default()
    });
    assert_eq!(flags.master, Source::File(zk));
    assert_eq!(flags.effective["master"], "zk://a:1/mesos");
}
