#!/bin/bash
# Ready means: the broker names at least one broker in an answer to a metadata request. An open port
# is not enough, for a broker that has not registered with the controller yet answers with none.
exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
# Length 14, api key 3 (Metadata), version 1, correlation id 0, no client id, no topics.
printf '\0\0\0\016\0\003\0\001\0\0\0\0\377\377\0\0\0\0' >&3
# The answer: length, correlation id, then the number of brokers.
brokers=$(timeout 3 head -c 12 <&3 | tail -c 4 | od -An -tu1 | tr -d ' \n')
[ -n "$brokers" ] && [ "$brokers" != 0000 ]
