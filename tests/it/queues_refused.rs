//! `queues sweep` where it may not write what it would change.

use crate::doctor_queues::Installed;
use crate::machine::{as_ordinary_user, set_mode};
use crate::world::Ran;

#[test]
fn nobody_is_woken_for_a_message_that_could_not_be_put_back() {
    let installed = Installed::new();
    installed.claim();
    let wake = installed.program("wake");
    fs_err::write(wake.with_file_name("wake.sh"), "echo \"$@\" >>\"$folder/woken\"").unwrap();
    installed.configure(&installed.root, &format!("wake.command = [\"{}\"]\n", wake.display()));
    let woken = || fs_err::read_to_string(wake.with_file_name("woken")).unwrap_or_default();
    let sweep =
        || Ran::of(&mut as_ordinary_user(&installed.world, &installed.world.command_at_present(&["queues", "sweep"])));
    let inbound = installed.session.join("inbound.db");
    set_mode(&inbound, 0o444);
    let refused = sweep().ends_with(4);
    assert!(refused.stdout.contains("readonly"), "{refused:?}");
    assert_eq!(woken(), "");
    set_mode(&inbound, 0o644);
    sweep().ends_with(0);
    assert_eq!(woken(), "sess-1 ag-1\n");
}
