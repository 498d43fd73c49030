//! What it costs to write an event for other pods, and to read it: the two protocols of the Node
//! packages as Roomcast speaks them, and that of `socketioxide-redis`, in one run.
//!
//!     cargo bench -p roomcast-load --bench wire

use std::hint::black_box;

use bytes::Bytes;
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use roomcast::measured::Codec;
use serde_json::json;
use socketioxide_core::{
    Uid, Value,
    adapter::{
        BroadcastFlags, BroadcastOptions,
        remote_packet::{RequestIn, RequestOut, RequestTypeOut},
    },
    packet::Packet,
};

/// Events as the parser of a pod writes them.
fn events() -> [(&'static str, String); 3] {
    let small = json!(["chat", "room", {"id": 123_456, "name": "Ada Lovelace", "text": "The engine weaves algebraic patterns.", "at": 1_700_000_000_000_u64}]);
    let text = json!(["chat", "room", "lorem ipsum dolor ".repeat(16 * 1024 / 18)]);
    let rows: Vec<_> = (0..200)
        .map(|n| json!({"id": n, "name": format!("row {n}"), "price": f64::from(n) * 1.25 + 0.1, "on": n % 2 == 0}))
        .collect();
    [
        ("small", small.to_string()),
        ("text", text.to_string()),
        ("rows", json!(["chat", "room", rows]).to_string()),
    ]
}

fn roomcast(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, codec: &Codec, event: &str) {
    let value = || Value::Str(event.to_owned().into(), None);
    let kept = value();
    group.bench_function(format!("{name}/encode"), |bencher| {
        bencher.iter(|| codec.encode(black_box(kept.clone())));
    });
    let (channel, message) = codec.encode(value());
    assert!(codec.decode(&channel, &message) == Some(value()), "it comes out as it went in");
    group.bench_function(format!("{name}/decode"), |bencher| {
        bencher.iter(|| codec.decode(black_box(&channel), black_box(&message)));
    });
}

fn socketioxide_redis(group: &mut BenchmarkGroup<'_, WallTime>, event: &str) {
    let packet = Packet::event("/", Value::Str(event.to_owned().into(), None));
    let mut options = BroadcastOptions::default();
    options.add_flag(BroadcastFlags::Broadcast);
    options.rooms.push("room".into());
    let sender = Uid::new();
    let encode = || {
        let request = RequestOut::new(sender, RequestTypeOut::Broadcast(&packet), &options);
        rmp_serde::to_vec(&request).expect("it can be written")
    };
    group.bench_function("socketioxide-redis/encode", |bencher| {
        bencher.iter(|| black_box(encode()))
    });
    let message = Bytes::from(encode());
    group.bench_function("socketioxide-redis/decode", |bencher| {
        bencher.iter(|| {
            rmp_serde::from_slice::<RequestIn>(black_box(&message)).expect("it can be read")
        });
    });
}

fn wire(criterion: &mut Criterion) {
    for (size, event) in events() {
        let mut group = criterion.benchmark_group(format!("{size}, {} B", event.len()));
        group.throughput(Throughput::Bytes(event.len() as u64));
        roomcast(&mut group, "classic", &Codec::classic(), &event);
        roomcast(&mut group, "sharded", &Codec::sharded(), &event);
        socketioxide_redis(&mut group, &event);
        group.finish();
    }
}

criterion_group!(benches, wire);
criterion_main!(benches);
