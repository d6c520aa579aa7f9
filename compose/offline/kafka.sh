#!/bin/bash
# Takes KAFKA_* as the published image does: KAFKA_NODE_ID=1 becomes node.id=1.
set -euo pipefail
settings=/tmp/server.properties
env | sed -n 's/^KAFKA_\([A-Z0-9_]*=\)/\1/p' | grep -v '^HEAP_OPTS=' | while IFS='=' read -r name value; do
  name=$(printf '%s' "$name" | tr '[:upper:]' '[:lower:]' | sed 's/___/-/g; s/__/\x01/g; s/_/./g; s/\x01/_/g')
  printf '%s=%s\n' "$name" "$value"
done > "$settings"
cat > /tmp/log4j2.properties <<'LOG'
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=[%d{ISO8601}] %p %m (%c)%n
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
LOG
java() {
  # shellcheck disable=SC2086  # a list of options
  command java ${KAFKA_HEAP_OPTS:-} -Dlog4j2.configurationFile=/tmp/log4j2.properties -cp '/opt/kafka/libs/*' "$@"
}
data=$(sed -n 's/^log.dirs=//p' "$settings")
[ -e "$data/meta.properties" ] || java kafka.tools.StorageTool format -t "$CLUSTER_ID" -c "$settings"
# shellcheck disable=SC2086
exec java ${KAFKA_HEAP_OPTS:-} -Dlog4j2.configurationFile=/tmp/log4j2.properties -cp '/opt/kafka/libs/*' kafka.Kafka "$settings"
