#!/usr/bin/env bash
# What the unit for a user of the machine may do, and what not.
# shellcheck source=tests/booted/library.sh
source "${0%/*}/../library.sh"

dropin=/run/systemd/system/session-sweep@alice.service.d/other-program.conf

inside() { # COMMAND...: in the place of the unit's own; what it says goes to /run/said
  mkdir -p "${dropin%/*}"
  printf '[Service]\nExecStart=\nExecStart=%s\nStandardError=truncate:/run/said\n' "$*" >"$dropin"
  systemctl daemon-reload
  systemctl start session-sweep@alice.service
}

exposed_at_most() { # TENTHS
  systemd-analyze security --no-pager --threshold="$1" session-sweep@alice.service
}

connecting_says() { # TEXT
  inside /bin/bash -c "'exec 3<>/dev/tcp/127.0.0.1/9'"
  grep --fixed-strings --regexp "$1" /run/said
}

crafted() { # VALUE: refused, and nothing of it is in a unit
  as alice mkdir -p /home/alice/.config/session-sweep
  as alice tee /home/alice/.config/session-sweep/config.toml >/dev/null <<<"map.dir = \"$1\""
  not install_with root --system --systemd --run-as alice && not grep -rs ExecStartPre /etc/systemd/system
}

add_user alice
check 'a map.dir with more lines for the unit is refused' crafted \
  '/tmp/x\"\nUser=root\nExecStartPre=+/bin/touch /pwned\nReadWritePaths=\"/tmp'
rm -r /home/alice/.config/session-sweep
write_map alice /srv/bridge
install_with root --system --systemd --run-as alice --dir /srv/bridge >/dev/null
check 'systemd finds nothing wrong with the unit and the timer' is_clean root session-sweep@alice.service session-sweep@alice.timer
check 'exposure of at most 2.0' exposed_at_most 20
check 'no network' connecting_says 'Address family not supported'
check 'the home is read-only' not inside /bin/touch /home/alice/new
check 'so is the rest' not inside /bin/touch /var/tmp/new
check 'but the folder of the map' inside /bin/touch /srv/bridge/new

install_with root --system --systemd --run-as alice --bridge-url http://127.0.0.1:8000 >/dev/null
check 'with a bridge as well exposure of at most 2.0' exposed_at_most 20
check 'and the bridge can be reached' connecting_says 'Connection refused'
