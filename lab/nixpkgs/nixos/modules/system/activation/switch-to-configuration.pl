# Makes the system in $TOPLEVEL the running one: stops, restarts, reloads and starts the units
# that differ, and activates it in between.
#
# Exit status: 0 done (dry-activate always), 1 refused or broken, 2 the activation script failed,
# 3 systemd did not take the new units, 4 units failed, 11 another one holds the lock, 100 the
# init interface changed, so that a reboot is needed.
use strict;
use warnings;
use Fcntl qw(:flock O_CREAT O_RDWR);
use UnitFiles qw(compare files_of flag is_gone parse read_file);

my $toplevel = $ENV{TOPLEVEL} // die "TOPLEVEL is not set\n";
my $state_dir = "/run/nixos";
my $cur_units = "/etc/systemd/system";
my $new_units = "$toplevel/etc/systemd/system";

my ($action) = @ARGV;
my $dry = ($action // "") eq "dry-activate";

# What is to be done, by unit. Skipped ones changed and are left alone; hidden ones are done
# without being told: targets, mostly, which are on every list.
my (%to_stop, %to_skip, %to_restart, %to_start, %to_reload, %hidden);

$| = 1;
# Whoever started this may go away, and the switch goes on.
$SIG{HUP} = $SIG{PIPE} = "IGNORE";
$ENV{PATH} = "/usr/sbin:/usr/bin:/sbin:/bin";

sub say_err { print STDERR "$_[0]\n" }
sub fail { my ($status, $message) = @_; say_err($message); exit $status }

sub read_list { grep { $_ ne "" } split /\n/, read_file("$state_dir/$_[0]") }

# Written down before it is done, so that a switch that is broken off can be taken up again.
sub remember {
    my ($list, $unit) = @_;
    return if $dry;
    open(my $file, ">>", "$state_dir/$list") or return;
    print {$file} "$unit\n";
}

sub forget { unlink "$state_dir/$_[0]" unless $dry }

sub systemctl { return system("/usr/bin/systemctl", @_) == 0 }

sub announce {
    my ($text, @units) = @_;
    @units = grep { !$hidden{$_} || $ENV{STC_DISPLAY_ALL_UNITS} } @units;
    say_err("$text: " . join ", ", sort @units) if @units;
}

# ---------------------------------------------------------------- units, as they run

# Every loaded unit that is not inactive, by name. Not by `show`, for which systemd puts
# together all that it knows of each unit.
sub units_of_systemd {
    my %units;
    open(my $out, "-|", qw(/usr/bin/systemctl list-units --all --full --plain --no-legend --no-pager))
        or fail(1, "cannot run systemctl: $!");
    while (<$out>) {
        my ($id, undef, $active, $sub) = split;
        next if $active eq "inactive";
        $units{$id} = { Id => $id, ActiveState => $active, SubState => $sub };
    }
    close $out or fail(1, "systemctl list-units failed");
    return \%units;
}

sub ended_ill {
    my ($unit) = @_;
    open(my $out, "-|", qw(/usr/bin/systemctl show --property=ExecMainStatus --value --), $unit) or return 0;
    my $status = <$out> // "";
    close $out;
    return $status !~ /^0?$/;
}

sub is_active { ($_[0]{ActiveState} // "") =~ /^(active|activating)$/ }

sub still_active {
    my ($unit) = @_;
    return system("/usr/bin/systemctl", "is-active", "--quiet", "--", $unit) == 0;
}

# ---------------------------------------------------------------- the plan

sub is_ours {
    my ($tree, $unit) = @_;
    my ($own, @dropins) = files_of($tree, $unit);
    return @dropins || (defined $own && index($own, "$tree/") == 0);
}

sub want {
    my ($set, $list, $unit) = @_;
    $set->{$unit} = 1;
    remember($list, $unit);
}

sub active_sockets_of {
    my ($unit, $info, $active) = @_;
    return if $unit !~ /\.service$/ || flag($info, "Service", "X-NotSocketActivated", 0);
    my @names = map { split } @{ $info->{Service}{Sockets} // [] };
    @names = ($unit =~ s/\.service$/.socket/r) unless @names;
    return grep { $active->{$_} && is_active($active->{$_}) } @names;
}

sub plan_changed {
    my ($unit, $info, $active) = @_;
    # These follow from others, or a restart would take down the system.
    return if $unit =~ /^(sysinit|basic|multi-user|graphical)\.target$/ || $unit =~ /\.(path|slice|socket)$/;
    if ($unit =~ /\.mount$/) {
        return $unit =~ /^(-|nix)\.mount$/
            ? want(\%to_reload, "reload-list", $unit)
            : want(\%to_restart, "restart-list", $unit);
    }
    if (flag($info, "Service", "X-ReloadIfChanged", 0) && !$to_restart{$unit}) {
        return want(\%to_reload, "reload-list", $unit);
    }
    if (!flag($info, "Service", "X-RestartIfChanged", 1)
        || flag($info, "Unit", "RefuseManualStop", 0)
        || flag($info, "Unit", "X-OnlyManualStart", 0)) {
        $to_skip{$unit} = 1;
        return;
    }
    # What cannot have commands that stop it need not be stopped with the old ones.
    if ($unit !~ /\.service$/ || !flag($info, "Service", "X-StopIfChanged", 1)) {
        return want(\%to_restart, "restart-list", $unit);
    }

    # Stopped with its old definition before the activation, started with the new one after. A
    # socket takes its service's place, and starts it when somebody calls.
    my @sockets = active_sockets_of($unit, $info, $active);
    for my $socket (@sockets) {
        $to_stop{$socket} = 1;
        want(\%to_start, "start-list", $socket) unless is_gone($new_units, $socket);
    }
    want(\%to_start, "start-list", $unit) unless @sockets;
    $to_stop{$unit} = 1;
    delete $to_reload{$unit};
}

sub plan_target {
    my ($unit, $info) = @_;
    $hidden{$unit} = 1;
    # Starting an active target starts those of its wants that are not up.
    my $manual = flag($info, "Unit", "RefuseManualStart", 0) || flag($info, "Unit", "X-OnlyManualStart", 0);
    want(\%to_start, "start-list", $unit)
        unless $manual || $unit =~ /^(suspend|hibernate|hybrid-sleep|suspend-then-hibernate)\.target$/;
    $to_stop{$unit} = 1 if flag($info, "Unit", "X-StopOnReconfiguration", 0);
}

sub plan_unit {
    my ($unit, $active) = @_;
    return unless is_active($active->{$unit});
    # A machine's own target counts: on a NixOS it is linked too, and starts what is new in it.
    my $counts = $unit =~ /\.target$/ || is_ours($cur_units, $unit) || is_ours($new_units, $unit);
    return unless $counts;
    my $old = parse(files_of($cur_units, $unit));
    if (is_gone($new_units, $unit)) {
        $to_stop{$unit} = 1 if flag($old, "Unit", "X-StopOnRemoval", 1);
        return;
    }
    my $new = parse(files_of($new_units, $unit));
    return plan_target($unit, $new) if $unit =~ /\.target$/;
    my $difference = compare($old, $new);
    if ($difference eq "restart") { plan_changed($unit, $new, $active) }
    elsif ($difference eq "reload" && !$to_restart{$unit}) {
        want(\%to_reload, "reload-list", $unit);
    }
}

# Snippets of the activation script may ask for units, in files.
sub plan_from_snippets {
    my ($prefix, $active) = @_;
    for my $unit (read_list("$prefix-restart-list")) {
        my ($own) = files_of($new_units, $unit);
        if (!$active->{$unit} || !defined $own) { $to_start{$unit} = 1 }
        else { plan_changed($unit, parse(files_of($new_units, $unit)), $active) }
        # Too late to stop it before the activation.
        $to_restart{$unit} = 1 if delete $to_stop{$unit};
        delete $to_start{$unit} if $to_restart{$unit};
    }
    for my $unit (read_list("$prefix-reload-list")) {
        $to_reload{$unit} = 1 if $active->{$unit} && !$to_restart{$unit} && !$to_stop{$unit};
    }
    unlink map { "$state_dir/$prefix-$_-list" } qw(restart reload);
}

# ---------------------------------------------------------------- the parts of a switch

sub check_request {
    if (!defined $action || $action !~ /^(check|switch|boot|test|dry-activate)$/) {
        fail(1, "Usage: $0 [check|switch|boot|test|dry-activate]

check:        run pre-switch checks and exit
switch:       make the configuration the boot default and activate now
boot:         make the configuration the boot default
test:         activate the configuration, but don't make it the boot default
dry-activate: show what would be done if this configuration were activated");
    }
    fail(1, "$0: this must be run as root") if $> != 0;
    fail(1, "This is not a NixOS installation!") unless -e "/etc/NIXOS" || read_file("/etc/os-release") =~ /^ID="?nixos"?$/m;
}

my $lock;

sub take_lock {
    mkdir $state_dir, 0755;
    sysopen($lock, "$state_dir/switch-to-configuration.lock", O_RDWR | O_CREAT, 0600)
        or fail(1, "Could not open lock: $!");
    flock($lock, LOCK_EX | LOCK_NB) or fail(11, "Could not acquire lock");
}

sub check_before {
    return if ($ENV{NIXOS_NO_CHECK} // "") eq "1" && $action ne "check";
    system("$toplevel/pre-switch-checks", $toplevel, $action) == 0 or fail(1, "Pre-switch checks failed");
}

sub install_boot_loader {
    system($ENV{INSTALL_BOOTLOADER}, $toplevel) == 0 or fail(1, "Failed to install bootloader");
}

sub check_init_interface {
    return if ($ENV{NIXOS_NO_CHECK} // "") eq "1";
    return if read_file("/run/current-system/init-interface-version") eq read_file("$toplevel/init-interface-version");
    fail(100, "Warning: the new NixOS configuration has an ‘init’ that is incompatible with the
current configuration. The new configuration won't take effect until
you reboot the system.");
}

sub show_plan {
    my ($active) = @_;
    announce("would stop the following units", keys %to_stop);
    announce("would NOT stop the following changed units", keys %to_skip);
    say_err("would activate the configuration...");
    local $ENV{NIXOS_ACTION} = $action;
    system("$toplevel/dry-activate", $toplevel);
    plan_from_snippets("dry-activation", $active);
    say_err("would restart systemd") if systemd_changed();
    announce("would reload the following units", keys %to_reload);
    announce("would restart the following units", keys %to_restart);
    announce("would start the following units", keys %to_start);
}

sub systemd_changed {
    my $conf = "etc/systemd/system.conf";
    return read_file("/$conf") ne read_file("$toplevel/$conf");
}

# What was to be reloaded may have gone down with something that it needs.
sub settle_reloads {
    for my $unit (sort keys %to_reload) {
        next if still_active($unit);
        my $info = parse(files_of($new_units, $unit));
        delete $to_reload{$unit};
        want(\%to_start, "start-list", $unit) unless flag($info, "Unit", "RefuseManualStart", 0);
    }
}

sub run_phase {
    my ($text, $verb, $list, $set) = @_;
    my $ok = 1;
    if (%$set) {
        announce($text, keys %$set);
        $ok = systemctl($verb, "--", sort keys %$set);
    }
    forget($list);
    return $ok;
}

# Units may pull in others that are not up yet; 90 seconds are the longest anything waits.
sub wait_for_jobs {
    for (1 .. 900) {
        return if `/usr/bin/systemctl list-jobs --no-legend --no-pager` !~ /\S/;
        select undef, undef, undef, 0.1;
    }
}

sub report {
    my ($before) = @_;
    my $after = units_of_systemd();
    my (@failed, @new);
    for my $unit (sort keys %$after) {
        my $u = $after->{$unit};
        my $restarting = $u->{SubState} eq "auto-restart" && ended_ill($unit);
        if ($u->{ActiveState} eq "failed" || $restarting) { push @failed, $unit }
        elsif (!$before->{$unit} && $unit !~ /\.scope$/) { push @new, $unit }
    }
    announce("the following new units were started", @new);
    return 1 unless @failed;
    say_err("warning: the following units failed: " . join ", ", @failed);
    # Standard error is where everything is told.
    open(my $status, "-|", "/usr/bin/systemctl", "status", "--no-pager", "--full", "--", @failed) or return 0;
    print STDERR <$status>;
    close $status;
    return 0;
}

sub carry_out {
    my ($active) = @_;
    my $status = 0;
    my $reexec = systemd_changed();
    if (%to_stop) {
        announce("stopping the following units", keys %to_stop);
        systemctl("stop", "--", sort keys %to_stop);
    }
    announce("NOT restarting the following changed units", keys %to_skip);

    say_err("activating the configuration...");
    {
        local $ENV{NIXOS_ACTION} = $action;
        $status = 2 if system("$toplevel/activate", $toplevel) != 0;
    }
    plan_from_snippets("activation", $active);

    if ($reexec) {
        say_err("restarting systemd...");
        systemctl("daemon-reexec") or $status = 2;
    }
    # Else what failed long ago would be told as if it had failed now, unless it fails again.
    systemctl("reset-failed");
    systemctl("daemon-reload") or $status = 3;
    systemctl("restart", "sysinit-reactivation.target") if -e "$new_units/sysinit-reactivation.target";

    settle_reloads();
    run_phase("reloading the following units", "reload", "reload-list", \%to_reload) or $status = 4;
    run_phase("restarting the following units", "restart", "restart-list", \%to_restart) or $status = 4;
    run_phase("starting the following units", "start", "start-list", \%to_start) or $status = 4;
    wait_for_jobs();
    report($active) or $status = 4;
    return $status;
}

check_request();
take_lock();
check_before();
exit 0 if $action eq "check";
install_boot_loader() if $action eq "switch" || $action eq "boot";
system("sync", "-f", "/nix/store") if ($ENV{NIXOS_NO_SYNC} // "") ne "1" && !$dry;
exit 0 if $action eq "boot";
check_init_interface();

# What a switch before this one did not get to.
$to_start{$_} = 1 for read_list("start-list");
$to_restart{$_} = 1 for read_list("restart-list");
$to_reload{$_} = 1 for read_list("reload-list");

my $active = units_of_systemd();
plan_unit($_, $active) for sort keys %$active;
if ($dry) {
    show_plan($active);
    exit 0;
}
exit carry_out($active);
