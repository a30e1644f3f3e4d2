//! Holds what is in `deploy/` to the servers and to itself, as far as that goes without an engine of containers: the files
//! parse, the flags start a server, and times, ports, paths and names fit each other. That an image is built and that a
//! cluster takes the manifests is not among it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use saphyr::{LoadableYamlNode, Yaml};
use server_suite::{Program, deploy};

const PROGRAM: Program = Program::new(env!("CARGO_BIN_EXE_tokio-node"));

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    let path = root().join("deploy").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parsed(text: &str) -> Vec<Yaml<'_>> {
    Yaml::load_from_str(text).expect("the file is YAML")
}

fn word<'a>(yaml: &'a Yaml<'_>) -> &'a str {
    yaml.as_str().unwrap_or_else(|| panic!("{yaml:?} is text"))
}

fn number(yaml: &Yaml<'_>) -> u64 {
    let number = yaml.as_integer().and_then(|number| number.try_into().ok());
    number.unwrap_or_else(|| panic!("{yaml:?} is a number"))
}

fn words(yaml: &Yaml<'_>) -> Vec<String> {
    let sequence = yaml.as_sequence().expect("a sequence");
    sequence.iter().map(|item| word(item).to_owned()).collect()
}

/// The value of a flag among these, written as `--flag=value`.
fn value<'a>(flags: &'a [String], flag: &str) -> &'a str {
    let prefix = format!("{flag}=");
    let mut values = flags.iter().filter_map(|other| other.strip_prefix(&prefix));
    values
        .next()
        .unwrap_or_else(|| panic!("{flag} is not in {flags:?}"))
}

fn seconds(text: &str) -> Duration {
    let digits = text.strip_suffix('s').expect("seconds");
    Duration::from_secs(digits.parse().expect("a number"))
}

/// What a drain with these flags takes at most.
fn drain(flags: &[String]) -> Duration {
    seconds(value(flags, "--drain-delay")) + seconds(value(flags, "--drain-timeout"))
}

/// The servers of the compose file and of the manifests start with their flags, at a port of their own, and answer a probe
/// that comes by an address.
#[test]
fn the_flags_start_a_server() {
    let compose = read("compose.yaml");
    let manifests = read("kubernetes/midplane.yaml");
    let (compose, manifests) = (parsed(&compose), parsed(&manifests));
    let container = &manifests[0]["spec"]["template"]["spec"]["containers"][0];
    let probes = ["startupProbe", "readinessProbe", "livenessProbe"];
    let paths = probes.map(|probe| word(&container[probe]["httpGet"]["path"]).to_owned());
    for flags in [
        words(&compose[0]["x-server"]["command"]),
        words(&container["args"]),
    ] {
        server_suite::run(deploy::answers_probes(PROGRAM, &flags, &paths));
    }
}

/// A server is killed only after its drain, and a load balancer has seen that it is not ready before it stops accepting.
#[test]
fn the_times_fit_each_other() {
    let compose = read("compose.yaml");
    let compose = parsed(&compose);
    let server = &compose[0]["x-server"];
    let grace = seconds(word(&server["stop_grace_period"]));
    assert!(grace >= drain(&words(&server["command"])) + Duration::from_secs(5));
    let manifests = read("kubernetes/midplane.yaml");
    let manifests = parsed(&manifests);
    let pod = &manifests[0]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let args = words(&container["args"]);
    let grace = Duration::from_secs(number(&pod["terminationGracePeriodSeconds"]));
    assert!(grace >= drain(&args) + Duration::from_secs(5), "{grace:?}");
    let readiness = &container["readinessProbe"];
    let seen = number(&readiness["periodSeconds"]) * number(&readiness["failureThreshold"])
        + number(&readiness["timeoutSeconds"]);
    assert!(Duration::from_secs(seen) < seconds(value(&args, "--drain-delay")));
    // A rolling update takes no server away before another is there.
    let rolling = &manifests[0]["spec"]["strategy"]["rollingUpdate"];
    assert_eq!(
        (
            number(&rolling["maxSurge"]),
            number(&rolling["maxUnavailable"])
        ),
        (1, 0)
    );
    assert!(manifests[0]["spec"].as_mapping_get("preStop").is_none());
}

/// Ports, names and files that are said in one place and meant in another.
#[test]
fn the_names_fit_each_other() {
    let manifests = read("kubernetes/midplane.yaml");
    let manifests = parsed(&manifests);
    let kinds: Vec<_> = manifests
        .iter()
        .map(|manifest| word(&manifest["kind"]))
        .collect();
    assert_eq!(
        kinds,
        [
            "Deployment",
            "Service",
            "PodDisruptionBudget",
            "NetworkPolicy"
        ]
    );
    let spec = &manifests[0]["spec"];
    let pod = &spec["template"]["spec"];
    let container = &pod["containers"][0];
    let args = words(&container["args"]);
    let (_, port) = value(&args, "--listen").rsplit_once(':').expect("a port");
    assert_eq!(
        number(&container["ports"][0]["containerPort"]).to_string(),
        port
    );
    let name = word(&container["ports"][0]["name"]);
    assert_eq!(word(&manifests[1]["spec"]["ports"][0]["targetPort"]), name);
    assert_eq!(
        word(&manifests[3]["spec"]["ingress"][0]["ports"][0]["port"]),
        name
    );
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(word(&container[probe]["httpGet"]["port"]), name);
    }
    let app = word(&spec["template"]["metadata"]["labels"]["app"]);
    assert_eq!(word(&spec["selector"]["matchLabels"]["app"]), app);
    assert_eq!(word(&manifests[1]["spec"]["selector"]["app"]), app);
    assert_eq!(
        word(&manifests[2]["spec"]["selector"]["matchLabels"]["app"]),
        app
    );
    assert_eq!(
        word(&manifests[3]["spec"]["podSelector"]["matchLabels"]["app"]),
        app
    );
    // The token is where the flag looks for it.
    let mount = &container["volumeMounts"][0];
    let volume = &pod["volumes"][0];
    assert_eq!(word(&mount["name"]), word(&volume["name"]));
    let file = word(&volume["secret"]["items"][0]["path"]);
    let path = format!("{}/{file}", word(&mount["mountPath"]));
    assert_eq!(value(&args, "--operator-token-file"), path);
    let env = &container["env"][0]["valueFrom"]["secretKeyRef"]["name"];
    assert_eq!(word(env), word(&volume["secret"]["secretName"]));
    assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true));

    let compose = read("compose.yaml");
    let compose = parsed(&compose);
    let command = words(&compose[0]["x-server"]["command"]);
    let secret = words(&compose[0]["x-server"]["secrets"]).remove(0);
    assert_eq!(
        value(&command, "--operator-token-file"),
        format!("/run/secrets/{secret}")
    );
    assert!(compose[0]["secrets"].as_mapping_get(&secret).is_some());
    let dockerfile = word(&compose[0]["x-server"]["build"]["dockerfile"]);
    assert!(root().join(dockerfile).is_file(), "{dockerfile}");
    let nginx = read("nginx.conf");
    for server in ["one", "two"] {
        assert!(
            nginx.contains(&format!("server {server}:{port} ")),
            "{nginx}"
        );
        assert!(compose[0]["services"].as_mapping_get(server).is_some());
    }
    let host = value(&command, "--public-host");
    assert!(nginx.contains(&format!("proxy_set_header Host {host};")));
    // No image is of a named registry.
    for image in [
        &compose[0]["services"]["broker"]["image"],
        &container["image"],
    ] {
        let first = word(image).split('/').next().unwrap_or_default();
        assert!(
            word(image).split('/').count() < 3 && !first.contains('.'),
            "{image:?}"
        );
    }
}

/// A proxy lets in what clients need, all of which the server has, and nothing that publishes to everybody or is for
/// operators.
#[test]
fn the_proxy_passes_what_is_for_clients() {
    let nginx = read("nginx.conf");
    let paths = nginx.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("location = ")?;
        rest.split_whitespace().next()
    });
    let paths: Vec<_> = paths.map(str::to_owned).collect();
    for path in ["/", "/ws", "/events", "/readyz"] {
        assert!(paths.iter().any(|other| other == path), "{path}: {paths:?}");
    }
    for path in [
        "/publish",
        "/flows",
        "/disconnect",
        "/nodes",
        "/count",
        "/metrics",
    ] {
        assert!(!nginx.contains(path), "{path}");
    }
    server_suite::run(deploy::has_paths(PROGRAM, &paths));
}

/// The image is linked statically, of the locked dependencies, by the oldest toolchain there may be, and runs as nobody.
#[test]
fn the_image_is_as_it_should_be() {
    let dockerfile = read("Dockerfile");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace");
    let (_, version) = manifest
        .split_once("rust-version = \"")
        .expect("an oldest toolchain");
    let (version, _) = version.split_once('"').expect("a version");
    let lines: Vec<&str> = dockerfile.lines().map(str::trim).collect();
    for line in [
        &format!("ARG RUST={version}"),
        "FROM rust:${RUST}-alpine AS build",
        "FROM scratch",
        "USER 65532:65532",
        "EXPOSE 8080",
        "STOPSIGNAL SIGTERM",
        "ENTRYPOINT [\"/tokio-server\"]",
        "COPY --from=build /tokio-server /tokio-server",
    ] {
        assert!(lines.contains(&line), "{line}: {dockerfile}");
    }
    let build = "cargo build --locked --release --package tokio-server";
    assert!(
        lines.iter().any(|line| line.contains(build)),
        "{dockerfile}"
    );
    let command = lines.iter().find_map(|line| line.strip_prefix("CMD "));
    let command = parsed(command.expect("a command"));
    server_suite::run(deploy::answers_probes(PROGRAM, &words(&command[0]), &[]));
    let ignored = read("Dockerfile.dockerignore");
    assert!(ignored.lines().any(|line| line == "target"));
}
