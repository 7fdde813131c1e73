//! What is wrong in each field: values that no schema rules out, and those that its type does.

use serde_json::{Map, Value, json};

use crate::document::is;

/// A body of each schema with every list and map filled, and nothing wrong in it.
pub(crate) fn good(schema: &str) -> Value {
    match schema {
        "NewNetwork" => json!({
            "name": "fresh", "driver": "bridge", "ipam": "default",
            "ipam_options": {"com.docker.network.ipam.serial": "true"},
            "pools": [{
                "subnet": "10.9.0.0/24", "range": "10.9.0.128/25", "gateway": "10.9.0.1",
                "auxiliary": {"nas": "10.9.0.5"},
            }],
            "options": {"com.docker.network.bridge.name": "br9"}, "labels": {"team": "red"},
        }),
        "NewEndpoint" => json!({
            "network": "front", "name": "fresh", "ipv4": "10.1.0.9", "mac": "02:42:0a:01:00:09",
            "exposed": ["80"], "ports": ["9090:90"], "options": {"com.docker.network.endpoint.ifname": "eth7"},
            "aliases": ["store"], "links": ["web:site"],
        }),
        "NewSandbox" => {
            json!({"name": "fresh", "naming": good("NamingWishes"), "endpoints": [good("NewEndpoint")]})
        }
        "NamingWishes" => json!({
            "hostname": "www", "domainname": "example.org", "servers": ["10.0.0.5"],
            "domains": ["corp.example=10.0.0.6"], "search": ["example.org"], "options": ["ndots:2"],
            "hosts": ["db:10.0.0.7"],
        }),
        "Calls" => json!({"aliases": ["store"], "links": ["web:site"]}),
        "PortList" => json!({"ports": ["8080:80"]}),
        "JoinSandbox" => json!({"sandbox": "web"}),
        "DisconnectFrom" => json!({"network": "front"}),
        other => panic!("{other} is new: give it a good body here, and its fields wrong values below"),
    }
}

/// Wrong values of a field or parameter, each with what the refusal says besides the field's name.
pub(crate) fn wrong(key: &str) -> Vec<(Value, &'static str)> {
    let pool = |change: Value| {
        let mut pool = json!({"subnet": "10.9.0.0/24"});
        pool.as_object_mut().unwrap().append(&mut change.as_object().unwrap().clone());
        json!([pool])
    };
    match key {
        "path:network" | "path:sandbox" => {
            vec![(json!("nobody"), "\"nobody\" not found"), (json!("zz".repeat(32)), "not found")]
        }
        "path:endpoint" => vec![(json!("nobody"), "\"nobody\" not found"), (json!("front/nobody"), "on network front")],
        "query:dry_run" | "query:force" => {
            vec![(json!("maybe"), "`true` or `false`"), (json!("1"), "`true` or `false`")]
        }
        "query:subject" => vec![(json!("image"), "not one of network, endpoint, sandbox")],
        "query:action" => vec![(json!("start"), "not one of create, connect")],
        "query:object" => vec![(json!("a b"), "' ' is not a letter")],

        "NewNetwork.name" => vec![
            (json!("front"), "already exists"),
            (json!("-a"), "start with a letter or a digit"),
            (json!("a b"), "' ' is not a letter"),
        ],
        "NewNetwork.driver" => vec![(json!("wifi"), "known are: bridge")],
        "NewNetwork.ipam" => vec![(json!("oracle"), "known are: default")],
        "NewNetwork.ipam_options" => {
            vec![(json!({"color": "red"}), "has no option \"color\""), (json!({"": "x"}), "a key is empty")]
        }
        "NewNetwork.pools" => vec![
            (json!([{"subnet": "10.9.0.0/24"}, {"subnet": "10.9.0.0/24"}]), "at most 1 IPv4 subnet"),
            (
                pool(json!({"gateway": "10.9.0.5", "auxiliary": {"nas": "10.9.0.5"}})),
                "10.9.0.5 of 10.9.0.0/24 is in use",
            ),
            (pool(json!({"auxiliary": {"a": "10.9.0.5", "b": "10.9.0.5"}})), "auxiliary address b"),
            (json!([["10.9.0.0/24"]]), "expected an object"),
        ],
        "NewNetwork.ipv4" => vec![(json!(false), "it is off")],
        "NewNetwork.ipv6" => vec![(json!("yes"), "invalid type")],
        "NewNetwork.internal" => vec![(json!("yes"), "invalid type")],
        "NewNetwork.options" => vec![
            (json!({"color": "red"}), "color"),
            (json!({"": "red"}), "a key is empty"),
            (json!({"com.docker.network.driver.mtu": "67"}), "67"),
            (json!({"com.docker.network.bridge.enable_icc": "perhaps"}), "perhaps"),
        ],
        "NewNetwork.labels" => vec![(json!({"": "red"}), "a key is empty"), (json!({"team": 7}), "invalid type")],

        "NewPool.subnet" => vec![
            (json!("10.9.0.0"), "is not a subnet"),
            (json!("10.9.0.0/33"), "is not a subnet"),
            (json!("10.9.0.7/24"), "give 10.9.0.0/24"),
            (json!("10.1.0.0/16"), "not in the subnet"),
            (json!("127.0.0.0/24"), "not in the subnet"),
        ],
        "NewPool.range" => vec![
            (json!("10.8.0.0/25"), "is not in the subnet 10.9.0.0/24"),
            (json!("10.9.0.0/16"), "is not in the subnet"),
            (json!("10.9.0.130/25"), "give 10.9.0.128/25"),
            (json!("fd00::/64"), "is not in the subnet"),
        ],
        "NewPool.gateway" => vec![
            (json!("10.8.0.1"), "10.8.0.1 is not in the subnet 10.9.0.0/24"),
            (json!("10.9.0.0"), "10.9.0.0 is the network address"),
            (json!("10.9.0.255"), "10.9.0.255 is the broadcast address"),
            (json!("10.9.0.5"), "nas: 10.9.0.5"),
            (json!("10.9.0.1/24"), "is not an address"),
            (json!("fd00::1"), "is not in the subnet"),
        ],
        "NewPool.auxiliary" => vec![
            (json!({"nas": "10.8.0.5"}), "10.8.0.5 is not in the subnet"),
            (json!({"nas": "10.9.0.0"}), "nas: 10.9.0.0 is the network address"),
            (json!({"nas": "10.9.0.255"}), "nas: 10.9.0.255 is the broadcast address"),
            (json!({"nas": "10.9.0.1"}), "nas: 10.9.0.1"),
            (json!({"": "10.9.0.5"}), "a key is empty"),
        ],

        "NewEndpoint.network" => vec![(json!("nobody"), "\"nobody\" not found")],
        "NewEndpoint.name" => vec![(json!("spare"), "already exists in network front"), (json!("-a"), "start with")],
        "NewEndpoint.ipv4" => vec![
            (json!("192.0.2.1"), "no IPv4 subnet of network front contains the address 192.0.2.1"),
            (json!("10.1.0.0"), "10.1.0.0 is the network address"),
            (json!("10.1.0.255"), "10.1.0.255 is the broadcast address"),
            (json!("10.1.0.1"), "10.1.0.1 of 10.1.0.0/24 is in use"),
            (json!("10.1.0.5"), "10.1.0.5 of 10.1.0.0/24 is in use"),
            (json!("10.1.0.2"), "is endpoint"),
            (json!("fd00::1"), "is not an IPv4 address"),
            (json!("10.1.0.9/24"), "is not an IPv4 address"),
        ],
        "NewEndpoint.ipv6" => vec![
            (json!("fd00::9"), "no IPv6 subnet of network front contains the address fd00::9"),
            (json!("10.1.0.9"), "is not an IPv6 address"),
        ],
        "NewEndpoint.mac" => vec![
            (json!("01:00:5e:00:00:01"), "multicast"),
            (json!("02:42:0a:01:00"), "02:42:0a:01:00"),
            (json!("02:42:0a:01:00:03"), "endpoint spare's on network front"),
        ],
        "NewEndpoint.exposed" => vec![
            (json!(["0"]), "port 0 is no port"),
            (json!(["65536"]), "65536"),
            (json!(["80/icmp"]), "\"icmp\" is not a protocol"),
            (json!(["90-80"]), "ends before it starts"),
        ],
        "NewEndpoint.ports" => vec![
            (json!(["9090:0"]), "port 0 is no port"),
            (json!(["99999:80"]), "99999"),
            (json!(["224.0.0.1:80:80"]), "no address of one host"),
            (json!(["[fe80::1]:80:80"]), "says nothing without its link"),
            (json!(["8000-8001:80-82"]), "can't serve"),
            (json!(["9090:80", "9090:81"]), "9090"),
            (json!(["80/icmp"]), "\"icmp\" is not a protocol"),
        ],
        "NewEndpoint.options" => vec![
            (json!({"color": "red"}), "color"),
            (json!({"com.docker.network.endpoint.ifname": "lo"}), "lo"),
            (json!({"": "red"}), "a key is empty"),
        ],
        "NewEndpoint.priority" => vec![(json!(9_223_372_036_854_775_808_u64), "invalid value")],
        "NewEndpoint.primary" => vec![(json!("yes"), "invalid type")],
        "NewEndpoint.interface" => vec![
            (json!("lo"), "the kernel uses it for something else"),
            (json!("longer-than-fifteen"), "the kernel allows 15"),
            (json!("eth 0"), "' ' is not a letter"),
        ],

        "NewSandbox.name" => vec![(json!("web"), "already exists"), (json!("-a"), "start with")],
        "NewSandbox.path" => vec![
            (json!("run/netns/x"), "is not an absolute path"),
            (json!("/no/such/namespace"), "/no/such/namespace"),
            (json!("/run/\u{0}"), "NUL"),
            (json!(format!("/{}", "a/".repeat(4000))), "Linux allows 4095"),
        ],
        "NewSandbox.pid" => vec![(json!(0), "0 is no process"), (json!(4_194_305), "4194305")],
        "NewSandbox.endpoints" => vec![
            (json!([{"network": "front"}, {"network": "front"}]), "two endpoints of one network want the name fresh"),
            (json!([{"network": "front", "ports": ["9090:80"]}, {"network": "empty", "ports": ["9090:80"]}]), "9090"),
            (json!([{"network": "front"}, {"network": "nobody"}]), "\"nobody\" not found"),
            (json!([["front"]]), "expected an object"),
        ],
        "NewSandbox.host" | "NewSandbox.without_names" => vec![(json!("yes"), "invalid type")],
        "NewSandbox.naming" => vec![(json!({"colour": "red"}), "unknown field")],
        "NamingWishes.hostname" | "NamingWishes.domainname" => vec![(json!("a..b"), "there is nothing")],
        "NamingWishes.servers" => vec![(json!(["ten"]), "is not an address")],
        "NamingWishes.domains" => vec![(json!(["corp.example"]), "DOMAIN=SERVER is expected")],
        "NamingWishes.options" => vec![(json!(["a b"]), "one word is expected")],
        "NamingWishes.hosts" => vec![(json!(["db"]), "NAME:ADDRESS is expected")],
        "NewEndpoint.aliases" | "Calls.aliases" | "NamingWishes.search" => {
            vec![(json!(["a b"]), "' ' is not a letter")]
        }
        "NewEndpoint.links" | "Calls.links" => vec![(json!(["web:"]), "it is empty")],

        "PortList.ports" => vec![
            (json!([]), "at least one is needed"),
            (json!(["x"]), "\"x\""),
            (json!(["8080:80/icmp"]), "\"icmp\" is not a protocol"),
        ],
        "JoinSandbox.sandbox" => vec![(json!("nobody"), "\"nobody\" not found")],
        "DisconnectFrom.network" => {
            vec![(json!("nobody"), "\"nobody\" not found"), (json!("empty"), "not connected to network empty")]
        }
        _ => Vec::new(),
    }
}

/// Texts that name nothing, and that no field takes unless it is one of [`takes_any_text`].
pub(crate) fn texts() -> [String; 5] {
    ["".into(), "a".repeat(300), "a\0b".into(), "../x".into(), "größe 網".into()]
}

/// What these mean is the user's business alone.
pub(crate) fn takes_any_text(key: &str) -> bool {
    ["NewNetwork.labels", "NewNetwork.ipam_options", "NamingWishes.options"].contains(&key)
}

/// What else a refusal may call a field by: the words of those who use it, not of the document.
pub(crate) fn also_called(key: &str) -> &'static [&'static str] {
    match key {
        "NewNetwork.ipam" | "NewNetwork.ipam_options" => &["address manager"],
        "NewNetwork.pools" => &["subnet", "gateway", "auxiliary"],
        "NewPool.subnet" => &["pools"],
        "NewPool.gateway" => &["auxiliary"],
        "NewNetwork.options" => &["option", "com.docker.network"],
        "NewEndpoint.options" => &["option", "com.docker.network"],
        "NewEndpoint.ports" | "PortList.ports" => &["publishing"],
        "NewSandbox.endpoints" => &["network", "publishing"],
        "NewEndpoint.ipv4" => &["address"],
        "NewSandbox.path" | "NewSandbox.pid" => &["namespace"],
        "path:endpoint" => &["network"],
        "NewSandbox.naming" => &["colour"],
        _ => &[],
    }
}

/// Values of the wrong type, or too large for it.
pub(crate) fn mistyped(schema: &Value) -> Vec<Value> {
    let samples = [
        ("string", vec![json!("5"), json!("true")]),
        ("number", vec![json!(5), json!(-1), json!(1.5), json!(1e300)]),
        ("boolean", vec![json!(true)]),
        ("array", vec![json!([]), json!([1])]),
        ("object", vec![json!({}), json!({"a": {}})]),
        ("null", vec![Value::Null]),
    ];
    let object = !schema["$ref"].is_null();
    let mut wrong = Vec::new();
    for (kind, values) in samples {
        let fits = is(schema, kind) || (object && kind == "object");
        match (kind, is(schema, "integer")) {
            _ if fits => {}
            ("number", true) => wrong.extend(beyond(schema)),
            _ => wrong.extend(values),
        }
    }
    if object {
        wrong.push(Value::Object(Map::from_iter([("nonsense".to_owned(), json!(1))])));
    }
    wrong
}

/// Numbers that an integer's format does not hold.
fn beyond(schema: &Value) -> Vec<Value> {
    let mut wrong = vec![json!(1.5), json!(1e300)];
    match schema["format"].as_str() {
        Some("int32") => wrong.push(json!(1_u64 << 32)),
        Some("int64") => wrong.push(json!(u64::MAX)),
        other => panic!("{other:?}: say what such a number can't be"),
    }
    if schema["minimum"] == 0 {
        wrong.push(json!(-1));
    }
    wrong
}
