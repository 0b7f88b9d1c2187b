#!/bin/sh
# Record what a node's pods send, where it passes the node, and what the node says of itself, into one archive.
#
# POSIX sh; needs tcpdump (or dumpcap) and nothing else, and uses what else is there. Parsed whole before it begins, so
# that it can be piped into `sh -s`. Its options are those of `lostsyn capture`, which runs it: docs/capturing.md.

# shellcheck disable=SC2015 # `a && b || c` is meant as it runs

set -u
LC_ALL=C
export LC_ALL
umask 077 # captures hold what users sent

VERSION=1       # of manifest.json
MANY=8          # interfaces of pods that are recorded each for itself; beyond, the bridge sees them all
SETTLE=1.5      # s; tcpdump gets its packets in blocks, which libpcap closes after 1 s at the latest
PATIENCE=20     # s for a program to begin or to end
LISTENING='listening on|File: '
RESERVE=8388608 # bytes on disk, given back at the end: room for the last packets when others have filled it
SNAPSHOTS=4000000 # bytes of counters, twice: every second's, as far as they changed

usage() {
    cat <<'END'
usage: capture.sh [--pod NAMESPACE/NAME | --container ID | --pid PID | --address IP | -i INTERFACE...]
                  [-o FILE] [--seconds S] [--until EVENT]... [--after S] [--size MB] [--keep MB]
                  [--snaplen BYTES] [--filter EXPRESSION] [--drops] [--dry-run]
EVENT: insert_failed, drop, invalid, table-full, syn-retransmit, or a command that succeeds once it has happened.
END
}

# --- words ---

say() { printf 'lostsyn-capture: %s\n' "$*" >&2; }

# Bad use is one sentence; what was begun is removed.
die() {
    $telling && printf '\r\033[K' >&2
    say "$*"
    ended=failed
    [ -z "$work" ] || abandon
    exit 2
}

exists() { command -v "$1" >/dev/null 2>&1; }

quoted() { # each argument as a shell would read it
    for word in "$@"; do
        case $word in
            '' | *[!A-Za-z0-9_./:=@%+,-]*) printf "'%s' " "$(printf %s "$word" | sed "s/'/'\\\\''/g")" ;;
            *) printf '%s ' "$word" ;;
        esac
    done
}

one_line() { printf %s "$1" | tr '\n' ' '; }

json() { # a string of JSON
    printf '"%s"' "$(printf %s "$1" | tr -d '\001-\037\177' | sed 's/[\\"]/\\&/g')"
}

number() { # $1 if it is a whole number within $3 and $4, else bad use of option $2
    case $1 in
        '' | *[!0-9]* | ??????????*) die "$2: $1 is not a whole number" ;;
    esac
    [ "$1" -ge "$3" ] && [ "$1" -le "$4" ] || die "$2: $1 is not between $3 and $4"
    echo "$1"
}

# --- time ---

now() { # ns since the epoch; busybox's date may know whole seconds only
    case $precise in
        true) date +%s%N ;;
        *) echo "$(date +%s)000000000" ;;
    esac
}

uptime_s() {
    read -r up _ </proc/uptime
    echo "${up%.*}"
}

nap() { sleep "$1" 2>/dev/null || sleep $((${1%.*} + 1)); } # not every sleep knows parts of a second

# --- processes ---

born() { # when a process began, in ticks since boot: number and birth are no other process's
    read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    # shellcheck disable=SC2086
    set -- ${line##*) }
    [ "$1" != Z ] && echo "${20}"
}

lives() { [ -n "$2" ] && [ "$(born "$1" 2>/dev/null)" = "$2" ]; }

over() { ! lives "$1" "$2"; }

told() { # whether process $1 has written what is sought into a file; 2 if it is gone without
    ! grep -Eqs "$3" "$2" || return 0
    [ -n "$(born "$1")" ] || return 2
    return 1
}

await() { # until a question is answered yes (0) or never will be (2), PATIENCE s at most
    tries=0
    while [ $tries -lt $((PATIENCE * 10)) ]; do
        "$@" && return
        [ $? -ne 2 ] || return 1
        tries=$((tries + 1))
        nap 0.1
    done
    return 1
}

# --- interfaces ---

# Each interface: number, name, number of its other end if that is in another network namespace, its bridge or bond.
interfaces() {
    listed=$(ip -o link 2>/dev/null)
    case $listed in *@if[0-9]*) # busybox's ip does not tell where the other end is
        echo "$listed" | awk '{
            name = $2; sub(/:$/, "", name); other = "-"; master = "-"
            if (match(name, /@/)) { other = substr(name, RSTART + 1); name = substr(name, 1, RSTART - 1) }
            if (other !~ /^if[0-9]+$/) other = "-"; else sub(/^if/, "", other)
            for (i = 3; i < NF; i++) if ($i == "master") master = $(i + 1)
            sub(/:$/, "", $1); print $1, name, other, master
        }'
        return
        ;;
    esac
    for device in /sys/class/net/*; do
        name=${device##*/}
        [ -r "$device/ifindex" ] && there "$name" || continue
        read -r index <"$device/ifindex"
        read -r other <"$device/iflink"
        # A VLAN and its like have a lower interface beside them; the other end of a veth is elsewhere.
        [ "$other" != "$index" ] && [ "$other" != 0 ] || other=-
        case $(echo "$device"/lower_*) in
            "$device/lower_*") ;;
            *) other=- ;;
        esac
        master=-
        [ ! -e "$device/master" ] || master=$(basename "$(readlink -f "$device/master")")
        echo "$index $name $other $master"
    done
}

there() { awk -v want="$1" -F: '{ sub(/^ */, "") } $1 == want { found = 1 } END { exit !found }' /proc/net/dev; }

# Devices by their routes, in all tables (clouds' CNIs have one for each interface): `hop` where packets go to a next hop
# or by default, which are uplinks and tunnels; `near` where a network is at hand.
routed() {
    if exists ip; then
        { ip -o route show table all; ip -o -6 route show table all; } 2>/dev/null |
            awk '$1 ~ /^(local|broadcast|multicast|anycast|unreachable|blackhole|prohibit|throw|ff00::)/ { next }
                {
                    hop = $1 == "default" || / via /
                    for (i = 1; i < NF; i++) if ($i == "dev" && $(i + 1) != "lo") {
                        if (hop) print "hop", $(i + 1)
                        else if ($1 ~ /\// && $1 !~ /^fe80::/) print "near", $(i + 1)
                    }
                }'
    else
        awk 'NR > 1 && $1 != "lo" && $8 != "FFFFFFFF" {
                if ($3 != "00000000" || $8 == "00000000") print "hop", $1; else print "near", $1
            }' /proc/net/route
    fi
    # Cilium routes in eBPF: its tunnel is in no table.
    interfaces | awk '$2 == "cilium_vxlan" || $2 == "cilium_geneve" { print "hop", $2 }'
}

on_host() { # run a program of the node, also from within a debugging container (kubectl debug node)
    if exists "$1"; then
        "$@"
    elif [ -d /host/proc ] && chroot /host sh -c "command -v $1" >/dev/null 2>&1; then
        chroot /host "$@"
    else
        return 127
    fi
}

pid_of_pod() { # NAMESPACE/NAME
    case $1 in
        */*/* | /* | */ | *[!a-z0-9./-]*) die "--pod: $1 is not of the form NAMESPACE/NAME" ;;
        */*) ;;
        *) die "--pod: $1 is not of the form NAMESPACE/NAME" ;;
    esac
    sandbox=$(on_host crictl pods -q --state Ready --namespace "^${1%/*}\$" --name "^${1#*/}\$" 2>/dev/null)
    if [ -n "$sandbox" ]; then
        on_host crictl inspectp "${sandbox%%[!0-9a-f]*}" 2>/dev/null | pid_in_json
        return
    fi
    container=$(on_host docker ps -q --filter "label=io.kubernetes.pod.namespace=${1%/*}" \
        --filter "label=io.kubernetes.pod.name=${1#*/}" 2>/dev/null)
    [ -z "$container" ] || pid_of_container "${container%%[!0-9a-f]*}"
}

pid_of_container() {
    for engine in docker podman nerdctl; do
        found=$(on_host $engine inspect -f '{{.State.Pid}}' "$1" 2>/dev/null)
        [ -z "$found" ] || [ "$found" = 0 ] || { echo "$found"; return; }
    done
    on_host crictl inspect "$1" 2>/dev/null | pid_in_json
}

pid_in_json() { sed -n 's/.*"pid": *\([1-9][0-9]*\).*/\1/p' | head -n 1; }

# A process of each network namespace but ours.
other_namespaces() {
    # shellcheck disable=SC2012
    ls -l /proc/[0-9]*/ns/net 2>/dev/null | awk -v ours="$(readlink /proc/self/ns/net)" '
        { if ($NF == ours || $NF in seen) next; seen[$NF] = 1; split($(NF - 2), part, "/"); print part[3] }'
}

pid_of_address() {
    case $1 in
        *:*) pattern=$(long_v6 "$1") ;;
        *) pattern=$1 ;;
    esac
    other_namespaces | while read -r process; do
        if awk -v want="$pattern" '
            FILENAME ~ /if_inet6$/ { if ($1 == want) found = 1; next }
            /\|-- / { at = $NF }
            /\/32 host LOCAL/ && at == want { found = 1 }
            END { exit !found }' "/proc/$process/net/fib_trie" "/proc/$process/net/if_inet6" 2>/dev/null; then
            echo "$process"
            break
        fi
    done
}

long_v6() { # 2001:db8::1 as the kernel writes it in if_inet6: 32 digits
    echo "$1" | awk '{
        gap = index($0, "::"); n = split(tolower($0), part, ":"); given = 0; out = ""
        for (i = 1; i <= n; i++) if (part[i] != "") given++
        for (i = 1; i <= n; i++) {
            if (part[i] != "") out = out substr("0000" part[i], length(part[i]) + 1)
            else if (gap) { while (given < 8) { out = out "0000"; given++ }; gap = 0 }
        }
        print out
    }'
}

# The node's ends of a process's interfaces.
ends_of() {
    if exists nsenter && exists ip; then
        nsenter -t "$1" -n ip -o link 2>/dev/null | sed -n 's/^[0-9]*: [^ ]*@if\([0-9]*\): .*/\1/p'
    else
        cat "/proc/$1"/root/sys/class/net/*/iflink 2>/dev/null
    fi | while read -r index; do
        interfaces | awk -v index_="$index" '$1 == index_ && $3 != "-" { print $2 }'
    done
}

# Decide what is recorded; prints one interface a line, from the pod outwards.
chosen() {
    if [ -n "$given" ]; then
        echo "$given" | awk '!seen[$0]++'
        return
    fi
    table=$(interfaces)
    bridges=$(echo "$table" | awk '$3 != "-" && $4 != "-" && $4 != "ovs-system" { print $4 }' | sort -u)
    routes=$(routed)
    out=$(echo "$routes" | awk '$1 == "hop" { print $2 }' | sort -u)
    # In a node that is a container (kind, k3d) the uplink is a veth itself; unlike a pod's it has a network.
    pods=$(echo "$table" | awk '$3 != "-" { print $2 }' | without "$(echo "$routes" | awk '{ print $2 }')")
    [ -n "$out" ] || out=$(echo "$routes" | awk '{ print $2 }' | sort -u | without "$(echo "$table" | awk '{ print $4 }')")
    if [ -n "$pid" ]; then
        pods=$(ends_of "$pid")
        bridges=$(for pod in $pods; do echo "$table" | awk -v pod="$pod" '$2 == pod && $4 != "-" { print $4 }'; done | sort -u)
    elif [ -n "$pods" ] && [ "$(echo "$pods" | wc -l)" -gt $MANY ]; then
        if [ -z "$bridges" ]; then
            echo any
            return
        fi
        say "$(echo "$pods" | wc -l) interfaces of pods are not recorded, the bridge sees their packets; to see what" \
            "is lost before it, name a pod (--pod, --container, --pid, --address)"
        pods=
    fi
    # shellcheck disable=SC2086
    printf '%s\n' $pods $bridges $out | awk 'NF && !seen[$0]++'
}

without() { # lines of stdin that are not among those of $1
    while read -r line; do
        case "
$1
" in
            *"
$line
"*) ;;
            *) [ -z "$line" ] || echo "$line" ;;
        esac
    done
}

# --- what the node says of itself ---

# File and command; what is not installed is left out. The counters come last, to be read right before the recording.
witnesses() {
    cat <<'END'
uname.txt uname -r
ip-link.txt ip -j link || ip link
ip-addr.txt ip -j address || ip address
ip-route.txt ip -j route show table all || ip route show table all
ip-neigh.txt ip -j neighbour || ip neighbour
ip-rule.txt ip rule
ip-rule-6.txt ip -6 rule
ip-stats.txt ip -s -s link
bridge-fdb.txt bridge fdb
sysctl.txt grep -s . /proc/sys/net/netfilter/* /proc/sys/net/bridge/* /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_local_port_range /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv4/conf/*/forwarding /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv4/neigh/default/gc_thresh* /proc/sys/net/nf_conntrack_max
nft-ruleset.txt nft -a list ruleset
iptables-save.txt iptables-save -c
ip6tables-save.txt ip6tables-save -c
ipvsadm.txt ipvsadm -Ln --stats
tc.txt tc -s qdisc
ss.txt ss -tanpi
dmesg.txt dmesg
pods.txt crictl pods
netstat.txt cat /proc/net/netstat /proc/net/snmp
snmp6.txt cat /proc/net/snmp6
softnet.txt cat /proc/net/softnet_stat
proc-stat.txt cat /proc/net/stat/nf_conntrack
conntrack-S.txt conntrack -S
END
}

ask() { # before, event or after, into a folder of that name
    $dry || mkdir -p "$bundle/$1"
    witnesses | while read -r file command; do
        answer "$1/$file" "$command"
    done
    for device in $devices; do
        answer "$1/ethtool-$device.txt" "ethtool -S $(quoted "$device")"
    done
    # The table is listed once, when it matters: it may have a quarter of a million entries.
    case $1,$event,$ended in
        *,disk-full) ;;
        event,* | after,,*) answer "$1/conntrack-L.txt" "conntrack -L -f ipv4; conntrack -L -f ipv6" ;;
    esac
}

answer() { # FILE COMMAND
    tool=${2%% *}
    exists "$tool" || return 0
    if $dry; then
        echo "$2 > $1"
        return
    fi
    $limit sh -c "$2" >"$bundle/$1" 2>/dev/null </dev/null
    [ -s "$bundle/$1" ] || rm -f "$bundle/$1"
}

# --- counters ---

# Sums of conntrack's counters over the CPUs. The columns are the same since Linux 2.6 (ct_cpu_seq_show in
# net/netfilter/nf_conntrack_standalone.c).
count() {
    insert_failed=0 drop=0 invalid=0
    [ -r /proc/net/stat/nf_conntrack ] || return 1
    while read -r entries _ _ _ c_invalid _ _ _ _ c_failed c_drop _; do
        [ "$entries" != entries ] && [ -n "$c_drop" ] || continue
        insert_failed=$((insert_failed + 0x$c_failed))
        drop=$((drop + 0x$c_drop))
        invalid=$((invalid + 0x$c_invalid))
    done </proc/net/stat/nf_conntrack
}

snapshot() { # this second's counters, if they moved, in two files that take turns
    text=$(cat /proc/net/stat/nf_conntrack 2>/dev/null) || return 0
    [ "$text" != "$last_text" ] || return 0
    last_text=$text
    printf '# time %s\n%s\n' "$1" "$text" >>"$bundle/counters.txt"
    written=$((written + ${#text} + 28))
    if [ "$written" -gt $SNAPSHOTS ]; then
        mv "$bundle/counters.txt" "$bundle/counters-earlier.txt"
        written=0
    fi
}

retransmitted() { # SYNs and other segments, sent again: TcpExt's TCPSynRetrans in the namespaces watched
    total=0
    for process in $watched; do
        total=$((total + $(awk '
            $1 == "TcpExt:" { if (at) { print $at; exit } for (i = 2; i <= NF; i++) if ($i == "TCPSynRetrans") at = i }
            ' "/proc/$process/net/netstat" 2>/dev/null || echo 0) + 0))
    done
    echo "$total"
}

watch_namespaces() { # whose SYNs are counted: the pod's, else everybody's
    watched=$pid
    [ -n "$pid" ] || watched="self $(other_namespaces | tr '\n' ' ')"
    retransmitted_before=$(retransmitted)
    watching_since=$1
}

begin_watch() {
    count || :
    failed_before=$insert_failed drop_before=$drop invalid_before=$invalid
    case "$until" in
        *syn-retransmit*) watch_namespaces "$(uptime_s)" ;;
    esac
}

# A table is full when packets are dropped that no failed insertion accounts for (a failed one raises both counters), or
# when the limit is reached.
table_full() {
    [ $((drop - drop_before)) -le $((insert_failed - failed_before)) ] || return 0
    read -r held 2>/dev/null </proc/sys/net/netfilter/nf_conntrack_count || return 1
    read -r most 2>/dev/null </proc/sys/net/netfilter/nf_conntrack_max || return 1
    [ "$most" -gt 0 ] && [ "$held" -ge "$most" ]
}

happened() { # whether one event of --until has come, or somebody says so; sets `event`. Commands are run every five seconds.
    [ ! -e "$work/told" ] || event=told
    asking=false
    [ "$(uptime_s)" -lt "$ask_at" ] || { asking=true ask_at=$(($(uptime_s) + 5)); }
    while [ -z "$event" ] && read -r what; do
        case $what in
            '') ;;
            insert_failed) [ "$insert_failed" = "$failed_before" ] || event=$what ;;
            drop) [ "$drop" = "$drop_before" ] || event=$what ;;
            invalid) [ "$invalid" = "$invalid_before" ] || event=$what ;;
            table-full) ! table_full || event=$what ;;
            syn-retransmit)
                [ "$(retransmitted)" = "$retransmitted_before" ] || event=$what
                # Pods come and go; whoever came within ten seconds is watched from then on.
                [ -n "$event" ] || [ $(($(uptime_s) - watching_since)) -lt 10 ] || watch_namespaces "$(uptime_s)"
                ;;
            *) ! $asking || ! sh -c "$what" >/dev/null 2>&1 </dev/null || event=$what ;;
        esac
    done <<END
$until
END
    [ -n "$event" ]
}

# --- drop records ---

drops_program() {
    cat <<'END'
@drops.bt@
END
}

# Records of skb:kfree_skb by bpftrace, which knows the packets' addresses, else by an instance of tracefs of our own,
# whose buffer in the kernel is a ring already.
begin_drops() {
    tracing=
    for place in /sys/kernel/tracing /sys/kernel/debug/tracing "$work/tracing"; do
        [ ! -d "$place/events/skb" ] || { tracing=$place; break; }
    done
    if [ -z "$tracing" ]; then
        mkdir "$work/tracing"
        mount -t tracefs nodev "$work/tracing" 2>/dev/null && tracing=$work/tracing || rmdir "$work/tracing"
    fi
    if [ ! -d "${tracing:-/}/events/skb/kfree_skb" ]; then
        say "no drop records: this kernel does not show the tracepoint skb:kfree_skb (tracefs is not there, or not allowed)"
        return
    fi
    # bpftrace looks for tracefs where it usually is.
    if exists bpftrace && [ "$tracing" = /sys/kernel/tracing ] && [ -e /sys/kernel/btf/vmlinux ] && begin_bpftrace; then
        return
    fi
    instance=$tracing/instances/lostsyn-$$
    mkdir "$instance" 2>/dev/null || {
        say "no drop records: no instance of tracefs could be made"
        instance=
        return
    }
    echo "$instance" >"$work/instance"
    echo mono >"$instance/trace_clock"
    echo 8192 >"$instance/buffer_size_kb" # of each CPU: some thirty thousand records with their stacks
    echo 'protocol == 0x0800 || protocol == 0x86dd' >"$instance/events/skb/kfree_skb/filter"
    echo stacktrace >"$instance/events/skb/kfree_skb/trigger"
    echo 1 >"$instance/events/skb/kfree_skb/enable"
}

begin_bpftrace() {
    drops_program >"$work/drops.bt"
    cat "$tracing/events/skb/kfree_skb/format" >"$work/format"
    cp "$work/format" "$bundle/drops.txt"
    # Appending: what is cut off at the front while it writes leaves no hole. With -q it would not tell of lost records.
    # shellcheck disable=SC2046
    $alone bpftrace -B line "$work/drops.bt" $(watched_networks) >>"$bundle/drops.txt" 2>"$work/bpftrace.log" </dev/null &
    tracer=$!
    if await told $tracer "$bundle/drops.txt" '^clock: '; then
        echo "$tracer $(born $tracer) bpftrace" >>"$work/recorders"
        return
    fi
    kill -KILL $tracer 2>/dev/null
    rm -f "$bundle/drops.txt"
    return 1
}

watched_networks() { # inodes of the node's network and the named pod's: others may be nodes of their own (kind)
    for process in self $pid; do readlink "/proc/$process/ns/net" | tr -dc '0-9\n'; done
}

bound_drops() { # bpftrace's file is a ring of two; each begins with the names of the reasons
    [ -r "$work/format" ] && [ -r "$bundle/drops.txt" ] || return 0
    [ "$(wc -c <"$bundle/drops.txt")" -gt $((size * 1000000 / 16)) ] || return 0
    cp "$bundle/drops.txt" "$bundle/drops-earlier.txt"
    cat "$work/format" >"$bundle/drops.txt"
}

# Save the instance's ring, with its clock's relation to wall time: the kernel's own, or (containers mask its file) that of
# a mark. The wall time is read after the mark: a drop must not seem to come before its packet.
end_drops() {
    [ -r "$work/instance" ] && read -r instance <"$work/instance" && [ -d "$instance" ] || return 0
    echo "lostsyn=$$" >"$instance/trace_marker"
    mark=0 wall=$(sed -n '/^ clock 1:/,/offset/s/.*offset: *\([0-9]\{18,19\}\) nsecs/\1/p' /proc/timer_list 2>/dev/null | head -n 1)
    [ -n "$wall" ] || mark='' wall=$(now)
    echo 0 >"$instance/tracing_on"
    cat "$instance/trace" >"$work/trace"
    [ -n "$mark" ] || mark=$(sed -n "s/.* \([0-9]*\)\.\([0-9]\{6\}\): .*lostsyn=$$.*/\1\2000/p" "$work/trace" | head -n 1)
    {
        echo "# clock: mono t=$mark wall=$(echo "$wall" | sed 's/\(.........\)$/.\1/')"
        grep -v "lostsyn=$$" "$work/trace"
    } >"$bundle/drops.txt"
    rm -f "$work/trace"
    rmdir "$instance"
}

end_mount() { # of tracefs, if it was ours
    [ ! -d "$work/tracing" ] || umount "$work/tracing" 2>/dev/null || :
    [ ! -d "$work/tracing" ] || rmdir "$work/tracing"
}

# --- recording ---

# How the ring of one interface is cut: `files` of `millions` bytes each. A file is exceeded by one packet at most.
measure() { # number of interfaces
    share=$((size * 1000000 / $1))
    files=$((share / 1000000 - 1))
    [ "$files" -ge 2 ] || die "--size: $size MB are too few for $1 interfaces; give $(($1 * 3)) or more"
    [ "$files" -le 8 ] || files=8
    longest=$snaplen
    [ "$longest" -gt 0 ] || longest=262144
    millions=$(((share / files - longest - 64) / 1000000))
    [ "$millions" -ge 1 ] || die "--size: $size MB are too few for packets of $longest bytes"
}

recorder() { # the command line for one interface, run by "$@" in front of it
    device=$1
    shift
    if [ "$program" = dumpcap ]; then
        set -- "$@" dumpcap -q -i "$device" -s "$snaplen" -B 16 \
            -b "filesize:$((millions * 976))" -b "files:$files" -w "$device.pcapng"
        [ -z "$filter" ] || set -- "$@" -f "$filter"
    else
        set -- "$@" tcpdump -n -i "$device" -s "$snaplen" -B 16384
        [ "$device" != any ] || set -- "$@" -y LINUX_SLL2
        # It would give up root, and with it the right to open the ring's next file.
        ! tcpdump_takes '-Z' || set -- "$@" -Z root
        ! tcpdump_takes 'time-stamp-precision' || set -- "$@" --time-stamp-precision=nano
        set -- "$@" -C "$millions" -W "$files" -w "$device.pcap"
        [ -z "$filter" ] || set -- "$@" "$filter"
    fi
    "$@"
}

tcpdump_takes() { case $tcpdump_help in *"$1"*) ;; *) return 1 ;; esac; }

launch() { # "$@" in the bundle's folder, out of reach of the terminal's Ctrl-C, which is ours to handle
    (cd "$bundle" && exec $alone "$@" >"$program-$device.log" 2>&1 </dev/null) &
    echo "$! $device" >>"$work/launched"
}

begin_recorders() {
    for device in $devices; do
        recorder "$device" launch
    done
    while read -r process device; do
        log=$bundle/$program-$device.log
        await told "$process" "$log" "$LISTENING" || die "$program does not record $device: $(tail -n 1 "$log")"
        echo "$process $(born "$process") $device" >>"$work/recorders"
    done <"$work/launched"
}

end_recorders() { # each by SIGINT, on which it writes what it holds
    [ -r "$work/recorders" ] || return 0
    while read -r process birth _; do
        ! lives "$process" "$birth" || kill -INT "$process" 2>/dev/null
    done <"$work/recorders"
    while read -r process birth _; do
        await over "$process" "$birth" || kill -KILL "$process" 2>/dev/null
    done <"$work/recorders"
}

check_recorders() { # one that ended by itself ends the recording, unless its interface is gone and others are left
    running=0
    while read -r process birth device; do
        if lives "$process" "$birth"; then
            [ "$device" = bpftrace ] || running=$((running + 1))
            continue
        fi
        case "$gone" in *" $device "*) continue ;; esac
        gone="$gone $device "
        if [ "$device" = bpftrace ]; then
            say "bpftrace ended by itself: no drop records from now on"
        elif [ "$device" = any ] || there "$device"; then
            say "$program ended by itself on $device: $(tail -n 1 "$bundle/$program-$device.log")"
            ended=recorder-ended
        else
            say "$device is gone"
        fi
    done <"$work/recorders"
    [ $running -gt 0 ] || ended=${ended:-recorder-ended}
}

# --- manifest ---

# What was recorded when. It is written at once, without times, so that what a killed run leaves is described as well.
manifest() {
    {
        printf '{\n "lostsyn_capture": %s,\n' $VERSION
        printf ' "node": %s,\n "kernel": %s,\n' "$(json "$(uname -n)")" "$(json "$(uname -r)")"
        printf ' "namespace": %s,\n' "$(json "$(readlink /proc/self/ns/net)")"
        printf ' "tools": {%s: %s},\n' "$(json $program)" "$(json "$version")"
        printf ' "subject": %s,\n' "$(json "$subject")"
        printf ' "ended": %s,\n' "$(json "${ended:-killed}")"
        printf ' "event": %s,\n' "$([ -n "$event" ] && printf '{"what": %s, "time_ns": %s}' "$(json "$event")" "$event_ns" || echo null)"
        printf ' "clock_steps": [%s],\n' "$steps"
        printf ' "recordings": ['
        between=
        for device in $devices; do
            began=${stopped:+$started} ends=${stopped:-null}
            # A ring that may have begun to overwrite says by its oldest packet since when it records.
            # shellcheck disable=SC2012,SC2086
            [ "$(cd "$bundle" && ls "$device"$ring 2>/dev/null | wc -l)" -lt "$files" ] || began=null
            case "$gone" in *" $device "*) ends=null ;; esac
            dropped=$(sed -n -e 's/^\([0-9]*\) packets\{0,1\} dropped by kernel.*/\1/p' \
                -e "s,^Packets received/dropped on interface .*: [0-9]*/\([0-9]*\) .*,\1,p" \
                "$bundle/$program-$device.log" 2>/dev/null | tail -n 1)
            printf '%s\n  {"interface": %s, "files": %s, "start_ns": %s, "stop_ns": %s, "filter": %s, "snaplen": %s, "direction": "inout", "dropped": %s}' \
                "$between" "$(json "$device")" "$(json "$device$ring")" "${began:-null}" "$ends" "$(json "$filter")" \
                "$snaplen" "${dropped:-null}"
            between=,
        done
        printf '\n ]\n}\n'
    } >"$bundle/manifest.part" && mv "$bundle/manifest.part" "$bundle/manifest.json"
}

# --- the archive ---

pack() { # the bundle in the folder $work, into $archive; without room for it the folder itself is kept
    name=$(basename "$bundle")
    case $archive in
        -) tar -cf - -C "$work" "$name" | gzip; return ;;
        *.zst) packer=zstd ;;
        *) packer=gzip ;;
    esac
    rm -f "$work/failed"
    { $gently tar -cf - -C "$work" "$name" || : >"$work/failed"; } 2>/dev/null | $gently $packer >"$archive.part" 2>/dev/null &&
        [ ! -e "$work/failed" ] && mv "$archive.part" "$archive" && written_to=$archive && return
    rm -f "$archive.part"
    written_to=$(dirname "$archive")/$name
    mv "$bundle" "$written_to" && say "no room for an archive: the folder is kept"
}

prune() { # the oldest archives, so that all take --keep MB at most
    # shellcheck disable=SC2012
    ls -t "$folder"/lostsyn-*.tar.* 2>/dev/null | while read -r file; do
        bytes=$(($(wc -c <"$file") + ${bytes:-0}))
        [ "$bytes" -le $((keep * 1000000)) ] || rm -f "$file"
    done
}

abandon() { # nothing was recorded: leave nothing
    if [ -r "$work/launched" ]; then
        while read -r process _; do echo "$process $(born "$process")"; done <"$work/launched" >>"$work/recorders"
    fi
    end_recorders
    end_drops
    end_mount
    rm -rf "$work"
    work=
}

# What a run that was killed has left in its folder: its programs are ended, its trace is saved, its bundle packed.
salvage() {
    rm -f "$work/reserve"
    end_recorders
    end_drops
    end_mount
    if [ -d "$bundle" ] && ls "$bundle"/*.pcap* >/dev/null 2>&1; then
        pack
        say "a recording that was killed is kept: $written_to"
    fi
    rm -rf "$work"
}

salvage_earlier() { # of runs that nobody could end: their folders lie where archives go
    for work in "$folder"/.lostsyn-*; do
        [ -r "$work/owner" ] || continue
        while read -r process birth; do
            ! lives "$process" "$birth" || continue 2
        done <"$work/owner"
        for bundle in "$work"/lostsyn-*; do :; done
        archive=$folder/$(basename "$bundle").tar.$suffix
        (salvage)
    done
    work=
}

# --- the way ---

parse() {
    pod='' container='' pid='' address='' given='' until='' output='' filter=''
    seconds=0 after=5 size=512 keep=0 snaplen=256 drops=false dry=false
    while [ $# -gt 0 ]; do
        option=$1
        case $option in
            --*=*)
                value=${option#*=}
                option=${option%%=*}
                shift
                set -- "$option" "$value" "$@"
                ;;
        esac
        case $option in
            -h | --help) usage; exit 0 ;;
            --drops) drops=true; shift; continue ;;
            --dry-run) dry=true; shift; continue ;;
            --pod | --container | --pid | --address | -i | -o | --seconds | --until | --after | --size | --keep | --snaplen | --filter) ;;
            *) die "$option is not an option; --help lists them" ;;
        esac
        [ $# -ge 2 ] && [ -n "$2" ] || die "$option: a value is missing"
        case $option in
            --pod) pod=$2 ;;
            --container) container=$2 ;;
            --pid) pid=$(number "$2" --pid 1 4194304) || exit ;;
            --address) address=$2 ;;
            -i) given="$given${given:+
}$2" ;;
            -o) output=$2 ;;
            --seconds) seconds=$(number "$2" --seconds 1 31536000) || exit ;;
            --until) until="$until${until:+
}$2" ;;
            --after) after=$(number "$2" --after 0 86400) || exit ;;
            --size) size=$(number "$2" --size 3 1000000) || exit ;;
            --keep) keep=$(number "$2" --keep 1 10000000) || exit ;;
            --snaplen) snaplen=$(number "$2" --snaplen 0 262144) || exit ;;
            --filter) filter=$2 ;;
        esac
        shift 2
    done
    [ "$keep" = 0 ] || [ -n "$until" ] || [ "$seconds" -gt 0 ] || die "--keep starts over after each event: give --until or --seconds"
}

check() {
    $dry || [ "$(id -u)" = 0 ] || die "recording packets needs root"
    program=tcpdump
    exists tcpdump || program=dumpcap
    exists $program || die "neither tcpdump nor dumpcap is installed"
    tcpdump_help=$(tcpdump --help 2>&1)
    ring='.pcap*'
    [ $program = tcpdump ] || ring='_*.pcapng'
    version=$($program --version 2>&1 | head -n 1)
    case $(date +%N) in *[!0-9]* | '') precise=false ;; *) precise=true ;; esac
    limit='' alone='' gently=''
    ! timeout 1 true 2>/dev/null || limit="timeout $PATIENCE"
    ! setsid true 2>/dev/null || alone=setsid
    ! nice true 2>/dev/null || gently='nice'
    while read -r what; do
        case $what in
            '' | table-full | syn-retransmit) ;;
            insert_failed | drop | invalid)
                count || die "--until $what: this kernel shows no /proc/net/stat/nf_conntrack; connection tracking is not loaded"
                ;;
            *' '* | */*) ;;
            *) exists "$what" || die "--until: $what is neither insert_failed, drop, invalid, table-full, syn-retransmit nor a command" ;;
        esac
    done <<END
$until
END
}

find_subject() { # the process whose interfaces are recorded
    subject=$pod$container$address
    if [ -n "$pod" ]; then
        pid=$(pid_of_pod "$pod") || exit
        [ -n "$pid" ] || die "--pod: no pod $pod runs here, as far as crictl and docker say"
    elif [ -n "$container" ]; then
        pid=$(pid_of_container "$container")
        [ -n "$pid" ] || die "--container: docker, podman, nerdctl and crictl know no running container $container"
    elif [ -n "$address" ]; then
        pid=$(pid_of_address "$address")
        [ -n "$pid" ] || die "--address: no network namespace on this node has the address $address"
    fi
    [ -n "$pid" ] || return 0
    subject=${subject:-process $pid}
    [ -d "/proc/$pid/ns" ] || die "--pid: there is no process $pid"
    [ "$(readlink "/proc/$pid/ns/net")" != "$(readlink /proc/self/ns/net)" ] ||
        die "$subject uses the node's own network, and has no interface of its own: leave the option out"
}

find_devices() {
    devices=$(chosen) || exit
    [ -n "$devices" ] || die "no interface of a pod, no bridge and no uplink was found: name them with -i"
    [ -z "$pid" ] || [ -n "$given" ] || [ -n "$(ends_of "$pid")" ] ||
        die "$subject has no interface whose other end is in this network namespace: name interfaces with -i"
    for device in $devices; do
        [ "$device" = any ] || there "$device" ||
            die "there is no interface $device; there are $(interfaces | awk '{ printf "%s%s", sep, $2; sep = ", " }')"
    done
    # shellcheck disable=SC2086
    set -- $devices
    measure $#
}

find_room() { # where the archive goes
    folder=.
    suffix=gz
    ! exists zstd || suffix=zst
    stamp=lostsyn-$(date -u +%Y%m%dT%H%M%SZ)
    called=lostsyn-$(uname -n)-${stamp#lostsyn-}.tar.$suffix
    case $output in
        '') archive=$folder/$called ;;
        -) folder=${TMPDIR:-/var/tmp} archive=- ;;
        *.tar.gz | *.tgz | *.tar.zst) [ "$keep" = 0 ] || die "--keep writes several archives: -o must be a folder"; folder=$(dirname "$output") archive=$output ;;
        *) folder=$output archive=$output/$called ;;
    esac
    $dry && return
    [ -d "$folder" ] || die "-o: there is no folder $folder (an archive is called .tar.gz or .tar.zst)"
    [ -w "$folder" ] || die "-o: $folder cannot be written to"
    case $archive in
        *.zst) exists zstd || die "-o: zstd is not installed; call the archive .tar.gz" ;;
    esac
    [ "$(room)" -ge $((size * 1000 + SPARE)) ] ||
        die "$folder has $(($(room) / 1000)) MB free, and $((size + SPARE / 1000)) are needed; give less (--size) or another place (-o)"
}

SPARE=20000 # KB that stay free, for others who write
room() { df -Pk "$folder" | awk 'NR == 2 { print $4 }'; }

dry_run() {
    echo "# recorded: $(one_line "$devices")"
    ask before
    for device in $devices; do
        recorder "$device" quoted
        echo "2> $program-$device.log &"
    done
    ! $drops || echo "# and the records of skb:kfree_skb, by bpftrace or an instance of tracefs"
    ask after
    echo "# all of it packed into $archive"
}

packets() { # of each interface, both ways
    awk -v want=" $(one_line "$devices") " 'NR > 2 {
        sub(/^ */, ""); split($0, part, ":"); split(part[2], n, " ")
        if (index(want, " " part[1] " ")) print part[1], n[2] + n[10]
    }' /proc/net/dev
}

watch_clock() { # wall time against uptime; more than rounding is a step
    offset=$(($1 / 1000000000 - $(uptime_s)))
    [ -n "$last_offset" ] || last_offset=$offset
    difference=$((offset - last_offset))
    case $difference in
        0 | 1 | -1) return ;;
    esac
    say "the clock was set by $difference s"
    steps="$steps${steps:+, }{\"time_ns\": $1, \"seconds\": $difference}"
    last_offset=$offset
}

tick() {
    moment=$(now)
    watch_clock "$moment"
    check_recorders
    count || :
    snapshot "$moment"
    bound_drops
    if [ -z "$event" ] && happened; then
        event_ns=$moment
        event_at=$(uptime_s)
        tell "$event: $after s more"
        ask event
        : >"$work/asked"
    fi
    elapsed=$(($(uptime_s) - began_at))
    if [ -n "$event" ] && [ $(($(uptime_s) - event_at)) -ge "$after" ]; then
        ended=${ended:-event}
    elif [ "$seconds" -gt 0 ] && [ $elapsed -ge "$seconds" ]; then
        ended=${ended:-seconds}
    elif [ "$(room)" -lt $((SPARE / 2)) ]; then
        say "the disk is full"
        ended=disk-full
    fi
    if [ $elapsed -eq 3 ] && [ -z "$quiet_told" ]; then
        quiet_told=true
        packets | while read -r device number_; do
            case "
$first_packets
" in
                *"
$device $number_
"*) tell "$device: no packet in 3 s" ;;
            esac
        done
    fi
    moved="insert_failed +$((insert_failed - failed_before)), drop +$((drop - drop_before)), invalid +$((invalid - invalid_before))"
    if $telling; then
        printf '\r\033[K%s s, %s (Ctrl-C ends)' "$elapsed" "$moved" >&2
    elif [ $elapsed -ge $beat ]; then
        # Of whoever began this by ssh and went away, the pipe tells that nobody reads any more.
        beat=$((elapsed + 60))
        say "$elapsed s, $moved" || ended=hangup
    fi
}

tell() {
    ! $telling || printf '\r\033[K' >&2
    say "$*"
}

# One recording, by a process of its own. A terminal sends Ctrl-C to all of its programs, and would end commands that this
# script waits for; so signals are ignored there, and taken here. The two look after each other: what one that is killed
# leaves, the other ends and packs.
record() {
    work=$folder/.$stamp-$$
    mkdir "$work" 2>/dev/null && mkdir "$work/$stamp" || die "$folder cannot be written to"
    work=$(cd "$work" && pwd) bundle=$work/$stamp
    front=$(born $$)
    echo "$$ $front" >"$work/owner"
    : >"$work/recorders"
    : >"$work/go"
    worker=''
    trap '' USR1 # until the worker is there to be woken by it
    trap 'leave=true; rm -f "$work/go"; wake' INT TERM HUP
    (
        trap '' INT TERM HUP PIPE
        trap : USR1
        recording
    ) &
    worker=$!
    echo "$worker $(born $worker)" >>"$work/owner"
    trap ': >"$work/told"; wake' USR1
    while :; do
        wait $worker
        status=$?
        kill -0 $worker 2>/dev/null || break # else a signal came
    done
    if [ -d "$work" ]; then
        status=1
        (
            trap '' INT TERM HUP
            ask after
            salvage
        )
    fi
    work=
}

wake() { [ -z "$worker" ] || kill -USR1 "$worker" 2>/dev/null; }

recording() {
    ended='' event='' event_ns='' steps='' gone='' started=null stopped='' last_text='' last_offset='' quiet_told=''
    written=0 instance='' beat=60 ask_at=0
    dd if=/dev/zero of="$work/reserve" bs=65536 count=$((RESERVE / 65536)) 2>/dev/null
    ! $drops || begin_drops
    ask before
    first_packets=$(packets)
    begin_recorders
    started=$(now)
    $precise || started=$((started + 1000000000))
    began_at=$(uptime_s)
    begin_watch
    manifest
    tell "recording $(one_line "$devices"), at most $size MB; $(ending)"
    while :; do
        tick
        [ -e "$work/go" ] || ended=${ended:-interrupted}
        lives $$ "$front" || ended=${ended:-killed}
        [ -z "$ended" ] || break
        sleep 1 &
        wait $! # until a signal comes
    done
    wrap_up
    rm -rf "$work"
    case $ended in
        event | seconds | interrupted) exit 0 ;;
        *) exit 1 ;;
    esac
}

ending() {
    if [ -n "$until" ]; then
        echo "until $(echo "$until" | awk '{ printf "%s%s", sep, $0; sep = " or " }')"
    elif [ "$seconds" -gt 0 ]; then
        echo "for $seconds s"
    else
        echo "Ctrl-C ends it"
    fi
}

wrap_up() {
    rm -f "$work/reserve"
    stopped=$(now)
    nap $SETTLE
    end_recorders
    end_drops
    end_mount
    manifest
    ask after
    manifest
    losses=$(awk '/"dropped": [1-9]/' "$bundle/manifest.json" | sed 's/.*"interface": "\([^"]*\)".*"dropped": \([0-9]*\).*/\1 \2/')
    written_to=stdout
    pack
    [ -z "$losses" ] || tell "packets that $program missed: $(one_line "$losses")"
    case $ended in
        seconds) tell "$seconds s recorded; wrote $written_to" ;;
        event) tell "stopped after the event; wrote $written_to" ;;
        *) tell "$ended; wrote $written_to" ;;
    esac
}

main() {
    work='' telling=false
    parse "$@"
    [ ! -t 2 ] || $dry || telling=true
    check
    find_subject
    find_devices
    find_room
    if $dry; then
        event='' ended=''
        dry_run
        return
    fi
    salvage_earlier
    event='' ended='' leave=''
    record
    while [ "$keep" != 0 ] && [ "$status" = 0 ] && [ -z "$leave" ]; do
        prune
        find_room
        record
    done
    [ "$keep" = 0 ] || prune
    exit "$status"
}

main "$@"
