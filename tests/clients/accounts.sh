#!/usr/bin/env bash
# A person at a terminal: passwords that are asked for, and never shown.
. "$(dirname "$0")/lib.sh"
needs python3 docker-registry curl

# types ANSWERS ARGUMENTS…: runs entrepot at a terminal of its own and types the answers, one for each colon that it prints. What the
# terminal showed is printed; the exit code is the program's.
types() {
  python3 - "$@" <<'EOF'
import os, pty, select, sys, termios
answers, command = sys.argv[1].split("|"), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(command[0], command)
shown, asked = b"", 0
while True:
    ready, _, _ = select.select([terminal], [], [], 30)
    try:
        more = os.read(terminal, 4096) if ready else b""
    except OSError:
        more = b""
    if not more:
        break
    shown += more
    while asked < len(answers) and shown.count(b": ") > asked:
        if termios.tcgetattr(terminal)[3] & termios.ECHO:
            sys.exit("the terminal shows what is typed")
        os.write(terminal, b"\x03" if answers[asked] == "^C" else answers[asked].encode() + b"\n")
        asked += 1
sys.stdout.write(shown.decode())
if termios.tcgetattr(terminal)[3] & termios.ECHO == 0:
    sys.exit("the terminal was left silent")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
EOF
}

at_terminal() { types "$1" "$ENTREPOT" "${@:2}" --config "$WORK/entrepot.toml"; }

# may USER PASSWORD: logs in.
may() { curl -fsS -o /dev/null -u "$1:$2" "http://$ADDRESS/v2/"; }

is_added() {
  local shown
  shown=$(at_terminal "s3cret|s3cret" user add alice)
  refused grep -F s3cret <<<"$shown"
  may alice s3cret
}

two_that_differ() {
  refused at_terminal "one|two" user passwd alice
  may alice s3cret
}

is_interrupted() {
  refused at_terminal "^C" user passwd alice
  may alice s3cret
}

without_a_terminal() { refused entrepot user add bob; }

without_a_server() {
  stop entrepot
  entrepot user add bob --password-stdin <<<"from a pipe"
  entrepot user list
  start_entrepot
  may bob "from a pipe"
  entrepot user remove bob
  refused may bob "from a pipe"
}

admin_stays() {
  refused entrepot user remove admin
  may admin "$PASSWORD"
}

start_upstream
start_entrepot
check "a password is asked for twice and not shown" is_added
check "two that differ change nothing" two_that_differ
check "Ctrl-C changes nothing and leaves the terminal as it was" is_interrupted
check "without a terminal it is told what to do" without_a_terminal
check "the commands work without a server, and at once with one" without_a_server
check "the last administrator stays" admin_stays
