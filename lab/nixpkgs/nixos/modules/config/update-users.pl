# Makes the users and groups that the file in argument 1 declares. Numbers once given are
# remembered in /var/lib/nixos, so that a user that comes back owns its files again; in the
# formats of NixOS, which reads them on a host that moves to a whole nixpkgs.
use strict;
use warnings;
use Fcntl ":flock";

my ($spec) = @ARGV;
my $state = "/var/lib/nixos";
my ($mutable, @groups, @users);

open(my $in, "<", $spec) or die "cannot read $spec: $!";
while (<$in>) {
    chomp;
    my ($kind, @fields) = split /\t/, $_, -1;
    if ($kind eq "mutable") { $mutable = $fields[0] }
    elsif ($kind eq "group") {
        my %g;
        @g{qw(name gid members)} = @fields;
        push @groups, \%g;
    } else {
        my %u;
        @u{qw(name uid group gecos home shell system create_home home_mode hash initial_hash hash_file)}
            = @fields;
        push @users, \%u;
    }
}

# Other programs that change these files take the same lock.
open(my $lock, ">", "/etc/.pwd.lock") or die "cannot open /etc/.pwd.lock: $!";
flock $lock, LOCK_EX;
mkdir "/var/lib", 0755;
mkdir $state, 0755;

sub read_lines {
    my ($path) = @_;
    open(my $file, "<", $path) or return;
    chomp(my @lines = <$file>);
    return @lines;
}

sub write_file {
    my ($path, $mode, $text) = @_;
    my $old_mask = umask 0077;
    open(my $file, ">", "$path.tmp") or die "cannot write $path.tmp: $!";
    umask $old_mask;
    print {$file} $text;
    close $file or die "cannot write $path.tmp: $!";
    chmod $mode, "$path.tmp";
    rename "$path.tmp", $path or die "cannot put $path in place: $!";
}

sub records { map { [split /:/, $_, -1] } read_lines($_[0]) }
sub lines { join "", map { "$_\n" } @_ }
sub words { split / /, join " ", read_lines($_[0]) }
# JSON without its module, which is not everywhere: names of users need no escapes.
sub known { join(" ", read_lines($_[0])) =~ /"([^"]+)"\s*:\s*(\d+)/g }
sub as_json { my ($map) = @_; "{" . join(",", map { qq("$_":$map->{$_}) } sort keys %$map) . "}" }

my %old_groups = map { $_->[0] => $_ } records("/etc/group");
my @group_order = map { $_->[0] } records("/etc/group");
my %old_users = map { $_->[0] => $_ } records("/etc/passwd");
my @user_order = map { $_->[0] } records("/etc/passwd");
my %shadow = map { $_->[0] => $_ } records("/etc/shadow");
my %uid_map = known("$state/uid-map");
my %gid_map = known("$state/gid-map");

# A number as declared, or as it was, or the first free one downwards (services) or upwards.
sub number {
    my ($name, $declared, $current, $map, $taken, @range) = @_;
    my $id = $declared ne "" ? $declared : $current // $map->{$name};
    if (!defined $id || ($declared eq "" && exists $taken->{$id} && $taken->{$id} ne $name)) {
        my ($from, $to, $step) = @range;
        for ($id = $from; exists $taken->{$id}; $id += $step) {
            die "no free number for $name" if $id == $to;
        }
    }
    $taken->{$id} = $name;
    $map->{$name} = $id;
    return $id;
}

my @service_range = (999, 400, -1);
my %taken_gids = map { $old_groups{$_}[2] => $_ } keys %old_groups;
$taken_gids{ $gid_map{$_} } //= $_ for keys %gid_map;
$taken_gids{ $_->{gid} } = $_->{name} for grep { $_->{gid} ne "" } @groups;
my %declared_before_g = map { $_ => 1 } words("$state/declarative-groups");
my %declared_before_u = map { $_ => 1 } words("$state/declarative-users");

my (%new_groups, %new_users);
for my $g (@groups) {
    my $old = $old_groups{ $g->{name} };
    my $gid = number($g->{name}, $g->{gid}, $old && $old->[2], \%gid_map, \%taken_gids, @service_range);
    my @members = split /,/, $g->{members};
    # People may have been added by hand.
    if ($mutable && $old && !$declared_before_g{ $g->{name} }) {
        my %have = map { $_ => 1 } @members;
        push @members, grep { !$have{$_} } split /,/, $old->[3] // "";
    }
    $new_groups{ $g->{name} } = [$g->{name}, "x", $gid, join ",", sort @members];
}

my %taken_uids = map { $old_users{$_}[2] => $_ } keys %old_users;
$taken_uids{ $uid_map{$_} } //= $_ for keys %uid_map;
$taken_uids{ $_->{uid} } = $_->{name} for grep { $_->{uid} ne "" } @users;
for my $u (@users) {
    my $name = $u->{name};
    my $old = $old_users{$name};
    my @range = $u->{system} ? @service_range : (1000, 29999, 1);
    my $uid = number($name, $u->{uid}, $old && $old->[2], \%uid_map, \%taken_uids, @range);
    my $gid = $new_groups{ $u->{group} } ? $new_groups{ $u->{group} }[2] : ($old_groups{ $u->{group} } // [])->[2];
    if (!defined $gid) {
        print STDERR "warning: user '$name' has unknown group '$u->{group}'\n";
        $gid = 65534;
    }
    $new_users{$name}
        = [$name, "x", $uid, $gid, $u->{gecos}, $u->{home}, $u->{shell} || "/usr/sbin/nologin"];
    my $hash = $u->{hash};
    if ($u->{hash_file} ne "" && -e $u->{hash_file}) { ($hash) = read_lines($u->{hash_file}) }
    $shadow{$name} //= [$name, $u->{initial_hash} || "!", "1", "", "", "", "", "", ""];
    $shadow{$name}[1] = $hash if $hash ne "";
    if ($u->{create_home} && !-e $u->{home}) {
        my $dir = "";
        for my $part (grep { $_ ne "" } split m{/}, $u->{home}) { $dir .= "/$part"; mkdir $dir, 0755; }
        chown $uid, $gid, $u->{home};
        chmod oct $u->{home_mode}, $u->{home};
    }
}

# Without mutable users only what is declared stays; else what was never declared does.
sub keep {
    my ($name, $new, $before) = @_;
    return 1 if $new->{$name};
    return $mutable && !$before->{$name};
}
sub merged {
    my ($order, $old, $new, $before) = @_;
    my %seen;
    my @names = grep { !$seen{$_}++ && keep($_, $new, $before) } (@$order, sort keys %$new);
    return map { $new->{$_} // $old->{$_} } @names;
}
my @group_lines = merged(\@group_order, \%old_groups, \%new_groups, \%declared_before_g);
my @user_lines = merged(\@user_order, \%old_users, \%new_users, \%declared_before_u);

write_file("/etc/group", 0644, lines map { join ":", @$_ } @group_lines);
write_file("/etc/passwd", 0644, lines map { join ":", @$_ } @user_lines);
my @shadow_lines = map { $shadow{ $_->[0] } // [$_->[0], "!", "1", "", "", "", "", "", ""] } @user_lines;
write_file("/etc/shadow", 0640, lines map { join ":", @$_ } @shadow_lines);
my $shadow_group = getgrnam "shadow";
chown 0, $shadow_group, "/etc/shadow" if defined $shadow_group;

write_file("$state/uid-map", 0644, as_json \%uid_map);
write_file("$state/gid-map", 0644, as_json \%gid_map);
write_file("$state/declarative-users", 0644, join " ", sort map { $_->{name} } @users);
write_file("$state/declarative-groups", 0644, join " ", sort map { $_->{name} } @groups);
