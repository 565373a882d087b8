# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_stegcluster_global_optspecs
    string join \n h/help V/version
end

function __fish_stegcluster_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_stegcluster_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_stegcluster_using_subcommand
    set -l cmd (__fish_stegcluster_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c stegcluster -n "__fish_stegcluster_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -s V -l version -d 'Print version'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "serve" -d 'Run a node'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "status" -d 'Show the cluster: who leads, who is up, and how many nodes it can still lose'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "doctor" -d 'Find what is wrong with this machine or with the cluster, and what to do'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "kill-leader" -d 'Lose the leader on purpose, wait for the next one, and show what happened in between'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "members" -d 'List, add, remove, promote or replace members of the cluster'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "recover" -d 'Make a cluster of one out of a node whose cluster lost its majority for good'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "transfer-leader" -d 'Hand leadership to another node, without a failed request'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "bench" -d 'Load the cluster and report latencies, errors and the longest gap'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "failover-drill" -d 'Inflict faults under load, again and again, and account for every acknowledged record'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "embed" -d 'Hide a file in a picture; the embed is entered in the ledger'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "extract" -d 'Get the file back that is hidden in a picture'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "capacity" -d 'Show how much a picture can hide, by each method'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "verify" -d 'Tell whether pictures are in the ledger: who made each, when, by which method'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "records" -d 'Read the ledger: who embedded what, when, with which digest'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "backup" -d 'Write the whole ledger, as of one moment, into a file'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "restore" -d 'Enter the records of a backup in the ledger of a running cluster'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "certs" -d 'Make a CA, and certificates for nodes'
complete -c stegcluster -n "__fish_stegcluster_needs_command" -f -a "analyze" -d 'Estimate how much is hidden in the lowest bits of pictures, as a steganalyst would'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l id -d 'This node\'s name [default: n1]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l peers -d 'All nodes by client address, this one included or not; the Raft port is the client port less 3080 unless given after a slash' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l config -d 'A cluster.yaml with any of these settings' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l listen -d 'Where clients connect [default: this node\'s entry in --peers, else 127.0.0.1:8081]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l raft-listen -d 'Where the other nodes connect [default: the client port less 3080]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l data-dir -d 'The node\'s data folder [default: ./data/ID]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l cover -d 'The picture used when a request brings none [default: a built-in photograph]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l solo-after -d 'How long without a quorum until the node serves alone, or `never` [default: 5s]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l timings -d 'Where all timings begin: lan, or wan for nodes far apart [default: lan]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l tokens -d 'Ask for tokens: a file with ROLE NAME TOKEN a line, where ROLE is read, embed or admin; it is read again when it changes' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l tls-dir -d 'Speak TLS on both ports, by ca.pem, node.pem and node.key in this folder, which `stegcluster certs` makes' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l tls-ca -d 'The CA of all nodes, in place of the folder\'s' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l tls-cert -d 'This node\'s certificate, in place of the folder\'s' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l tls-key -d 'Its key, in place of the folder\'s' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l secret-file -d 'A secret of 16 bytes or more, the same on all nodes, by which they know each other where they have no certificates' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l codec-threads -d 'Threads that embed and extract [default: one for each core]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l memory-mib -d 'Memory of the node, in MiB; requests beyond their share of it are turned away [default: a quarter of the machine\'s, from 512 to 1024]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l cover-cache-mib -d 'Of it for covers seen before, in MiB; 0 keeps none [default: 256, or a quarter of it]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l log-format -d 'How log lines are written: text or json [default: text]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l log -d 'What is logged: a level such as info, or levels of modules [default: info]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l set -d 'Any setting of cluster.yaml by its key, such as timings.probe_misses=4' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l supervise -d 'Restart the node after a crash'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l remote-admin -d 'Take orders (kill-leader, failover-drill, members) from other machines too, from anyone who reaches the client port: for drills in a network that you trust'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l print-config -d 'Print the whole configuration as a cluster.yaml, with each value\'s source, and stop'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -l supervised -d 'The node below `--supervise`'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand status" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand status" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand status" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand status" -l interval-ms -d 'With --watch: milliseconds between two looks' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand status" -l timeout-ms -d 'Milliseconds to wait for each server' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand status" -s w -l watch -d 'Keep showing it, until q or Ctrl-C is pressed'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand status" -l json -d 'Print JSON instead of the table'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l id -d 'The node of this machine [default: n1]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l peers -d 'All nodes by client address, as for serve' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l config -d 'The cluster.yaml of this machine [default: ./cluster.yaml, if it is there]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l listen -d 'Where the node of this machine listens for clients' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l raft-listen -d 'Where it listens for the other nodes' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l data-dir -d 'Its data folder' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l timeout-ms -d 'Milliseconds to wait for each node' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -l json -d 'Print JSON instead of text'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand kill-leader" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand kill-leader" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand kill-leader" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand kill-leader" -l signal -d 'How the leader is lost: kill (SIGKILL), term (SIGTERM) or stop (SIGSTOP)' -r -f -a "kill\t''
term\t''
stop\t''"
complete -c stegcluster -n "__fish_stegcluster_using_subcommand kill-leader" -l stop-ms -d 'With --signal stop: milliseconds until it goes on' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand kill-leader" -l timeout-ms -d 'Milliseconds to wait for the new leader, and with --wait for the old one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand kill-leader" -l wait -d 'Also wait until the old leader is back and has caught up'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand kill-leader" -l json -d 'Print JSON instead of the timeline'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand kill-leader" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and not __fish_seen_subcommand_from list add remove promote replace" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and not __fish_seen_subcommand_from list add remove promote replace" -f -a "list" -d 'List the members and the nodes that are only configured'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and not __fish_seen_subcommand_from list add remove promote replace" -f -a "add" -d 'Wait for a new node, and show how it becomes a voter'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and not __fish_seen_subcommand_from list add remove promote replace" -f -a "remove" -d 'Take a node out of the cluster, for good; a leader hands over first'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and not __fish_seen_subcommand_from list add remove promote replace" -f -a "promote" -d 'Make a learner a voter, where it did not become one by itself'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and not __fish_seen_subcommand_from list add remove promote replace" -f -a "replace" -d 'Add a new node, then remove an old one: there are never fewer voters than before'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from list" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from list" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from list" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from list" -l json -d 'Print JSON instead of a table'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from add" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from add" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from add" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from add" -l timeout-s -d 'Seconds to wait until it is a voter' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from remove" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from remove" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from remove" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from remove" -l timeout-s -d 'Seconds to wait until it is done' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from promote" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from promote" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from promote" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from promote" -l timeout-s -d 'Seconds to wait until it is done' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from promote" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from replace" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from replace" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from replace" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from replace" -l timeout-s -d 'Seconds to wait for each of the two' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand members; and __fish_seen_subcommand_from replace" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand recover" -l data-dir -d 'The survivor\'s data folder; of several survivors, that of the one with the newest log' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand recover" -l backup -d 'Where to copy the folder first [default: beside it, DIR.before-recover-SECONDS]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand recover" -l majority-is-lost -d 'Do it: the majority will never come back'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand recover" -l damage-is-accepted -d 'The folder is damaged: keep what can still be read. It becomes a cluster of its own, and what cannot be read is lost; where other nodes have a quorum, start the node instead, and it heals from them'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand recover" -l dry-run -d 'Only say what would be done, and end with 0 if it could be'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand transfer-leader" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand transfer-leader" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand transfer-leader" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand transfer-leader" -l to -d 'The node that shall lead [default: the one whose log is most current]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand transfer-leader" -l json -d 'Write a report as JSON to this file, `-` for standard output' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand transfer-leader" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l servers -d 'Nodes to work against: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l local -d 'Start this many nodes on this machine instead, in a temporary folder' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l clients -d 'Clients that ask at the same time; with --rate, at most [default: 20; 256 with --rate]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l reqs -d 'Requests of each client [default: 200, or as many as --duration allows]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l rate -d 'Open loop: so many requests a second by all clients together' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l duration -d 'How long, such as 30s or 5m, the warm-up aside' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l warm-up -d 'Make requests for this long before they count, such as 2s' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l mode -d 'What to ask for: embed, extract, roundtrip or commit, or a mix such as embed=70,extract=30' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l cover -d 'Hide secrets in this picture, or in those of this folder; the node\'s own if not given' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l secret -d 'Hide this file, or those of this folder; random bytes if not given' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l secret-bytes -d 'Size of each random secret' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l method -d 'lsb, spread or adaptive; the node\'s choice if not given' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l bits -d 'Low bits of each colour sample to use, 1 to 4; more than 1 for lsb only' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l passphrase-file -d 'Encrypt with the passphrase on the first line of this file' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l seed -d 'Makes the same secrets again' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l json -d 'Also write the report as JSON, to standard output for -' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l plot -d 'Also draw throughput, latencies and changes of leader over time, as PNG' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l hdr-out -d 'Also write the whole latency distribution, as HdrHistogram does (.hgrm, in ms)' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l csv -d 'Also write a row for each second, as comma-separated values' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l tls -d 'Give own nodes certificates, so that all of it goes over TLS'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l keep -d 'Leave the temporary folder of own nodes, with their logs, and say where it is'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l no-retry -d 'Make each request once: what a node turns away, or does not answer, has failed'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -l verify -d 'Read each result back through another node, and compare; not part of the latency'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and not __fish_seen_subcommand_from compare" -f -a "compare" -d 'Say what changed between two runs, and whether by more than noise'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and __fish_seen_subcommand_from compare" -l json -d 'Print the comparison as JSON'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand bench; and __fish_seen_subcommand_from compare" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l servers -d 'Nodes to work against: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l local -d 'Start this many nodes on this machine instead, in a temporary folder' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l iterations -d 'Faults to inflict' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l rounds -d 'Inflict each fault this many times, instead of --iterations' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l faults -d 'Which, with commas between, or all: crash, term, freeze, isolate, isolate-oneway, disk-slow, disk-full, transfer, kill-both-followers, rolling-restart, wipe' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l load -l clients -d 'Clients that embed meanwhile; 0 for an idle cluster' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l pace-ms -d 'Least milliseconds between two embeds of one client' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l secret-bytes -d 'Size of each secret' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l seed -d 'Makes the same secrets, pauses and order of faults again' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l restart-cmd -d 'With --servers: a shell command that starts a node again after crash and term. It finds STEGCLUSTER_NODE, STEGCLUSTER_HOST and STEGCLUSTER_PORT in its environment' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l slo -d 'Exit with 2 where a target is missed: MEASURE[.p50|.p99|.max] < LIMIT, with commas between, such as client_gap_ms.p99<250,failed<0.1%' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l max-first-commit-ms -d 'Exit with 2 where a first commit takes longer' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l max-client-gap-ms -d 'Exit with 2 where a client gap is longer' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l max-rejoin-ms -d 'Exit with 2 where a rejoin takes longer' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l max-view-ms -d 'Exit with 2 where a survivor\'s status is right later than this after the first commit' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l json -d 'Also write the report as JSON, to standard output for -' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l plot -d 'Also write the gaps as a picture: PNG, or SVG where FILE ends so' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l html -d 'Also write the report as one page that needs no other file' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l evidence -d 'Where history, ledgers and logs are kept if a record is lost, doubled or read stale' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l tls -d 'Give own nodes certificates, so that all of it goes over TLS'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -l keep -d 'Leave the temporary folder of own nodes, with their logs, and say where it is'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand failover-drill" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -s o -l out -d 'Where to write the picture (a PNG); `-` is standard output. For several secrets a folder that is there, in which each picture is called like its secret, with .png behind' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l cover -d 'The picture to hide it in; the node\'s own if not given' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l method -d 'lsb (in the lowest bits, in order; fastest), spread (all over the picture, by key) or adaptive (where the picture\'s texture hides it best); by default adaptive with a passphrase and lsb without' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l bits -d 'Low bits of each colour sample to use, 1 to 4; more than 1 for lsb only' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l passphrase-file -d 'Encrypt with the passphrase on the first line of this file' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l id -d 'The record\'s id, to repeat an embed whose outcome is unknown' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l offline -d 'Work in this process, without a server; nothing is entered in a ledger'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -s f -l force -d 'Overwrite what is there'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l keep-metadata -d 'Keep the cover\'s texts, camera notes (such as the place) and dates, which are left out otherwise'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l report -d 'Also say what was changed, and what a steganalyst would find in the picture'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -l json -d 'Print the answer as JSON, without the picture'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand embed" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand extract" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand extract" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand extract" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand extract" -s o -l out -d 'Where to write the file; `-` is standard output. For several pictures a folder that is there, in which each file is called like its picture, without .png' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand extract" -l passphrase-file -d 'Decrypt with the passphrase on the first line of this file' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand extract" -l offline -d 'Work in this process, without a server; nothing is entered in a ledger'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand extract" -s f -l force -d 'Overwrite what is there'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand extract" -l json -d 'Print the answer as JSON, without the file'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand extract" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand capacity" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand capacity" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand capacity" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand capacity" -l cover -d 'The picture; the node\'s own if not given. `-` is standard input, patterns such as \'*.jpg\' are looked up' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand capacity" -l offline -d 'Work in this process, without a server; nothing is entered in a ledger'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand capacity" -l passphrase -d 'For a secret with a passphrase'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand capacity" -l json -d 'Print JSON instead of a table'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand capacity" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand verify" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand verify" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand verify" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand verify" -l json -d 'Print one line of JSON for each picture'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and not __fish_seen_subcommand_from list get export" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and not __fish_seen_subcommand_from list get export" -f -a "list" -d 'List records in the order of their ids'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and not __fish_seen_subcommand_from list get export" -f -a "get" -d 'Show one record'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and not __fish_seen_subcommand_from list get export" -f -a "export" -d 'Write every record as a line of JSON'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from list" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from list" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from list" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from list" -l limit -d 'Most records to list' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from list" -l after -d 'Begin after this id' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from list" -l all -d 'List every record'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from list" -l stale -d 'Whatever the first node that answers has, also without a quorum'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from list" -l json -d 'Print JSON instead of a table'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from get" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from get" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from get" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from get" -l json -d 'Print JSON instead of a table'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from export" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from export" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from export" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from export" -s o -l out -d 'Where to write' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from export" -l after -d 'Begin after this id' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from export" -s f -l force -d 'Overwrite what is there'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from export" -l stale -d 'Whatever the first node that answers has, also without a quorum'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand records; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand backup" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand backup" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand backup" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand backup" -s o -l out -d 'Where to write it' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand backup" -s f -l force -d 'Overwrite what is there'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand backup" -l stale -d 'Whatever the first node that answers has, also without a quorum'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand restore" -l servers -d 'Nodes to talk to: HOST:PORT, https://HOST:PORT or http://HOST:PORT, with commas between [default: the nodes of cluster.yaml or of the file in STEGCLUSTER_CONFIG, else 127.0.0.1 with the ports 8081, 8082 and 8083]' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand restore" -l token-file -d 'Send the token on the first line of this file, where nodes run with --tokens; without it, the token in STEGCLUSTER_TOKEN, if there is one' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand restore" -l ca -d 'The certificate of the nodes\' CA, where they speak TLS: servers are then asked by https:// [default: tls.ca of cluster.yaml or of the file in STEGCLUSTER_CONFIG]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand restore" -l dry-run -d 'Only check the file'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand restore" -l json -d 'Print JSON instead of a sentence'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and not __fish_seen_subcommand_from init node host show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and not __fish_seen_subcommand_from init node host show" -f -a "init" -d 'Make the CA: once for a cluster'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and not __fish_seen_subcommand_from init node host show" -f -a "node" -d 'Make the certificate of a node'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and not __fish_seen_subcommand_from init node host show" -f -a "host" -d 'Make the certificate of a host that is no node, such as a proxy for clients'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and not __fish_seen_subcommand_from init node host show" -f -a "show" -d 'Show what certificates say, and until when they are valid'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from init" -l dir -d 'The folder that is made, with ca.pem and ca.key' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from init" -l name -d 'The cluster\'s name in the CA\'s, for people' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from init" -l days -d 'How long the CA is valid' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from node" -l host -d 'A host name or an IP address by which clients reach it; may be repeated' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from node" -l dir -d 'The folder with ca.pem and ca.key' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from node" -l out -d 'Where ca.pem, node.pem and node.key go [default: a folder of the given name in --dir]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from node" -l days -d 'How long the certificate is valid' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from node" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from host" -l host -d 'A host name or an IP address by which clients reach it; may be repeated' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from host" -l dir -d 'The folder with ca.pem and ca.key' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from host" -l out -d 'Where ca.pem, node.pem and node.key go [default: a folder of the given name in --dir]' -r -F
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from host" -l days -d 'How long the certificate is valid' -r
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from host" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand certs; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand analyze" -l json -d 'Print JSON instead of a table, with the estimates of each colour channel'
complete -c stegcluster -n "__fish_stegcluster_using_subcommand analyze" -s h -l help -d 'Print help (see more with \'--help\')'
