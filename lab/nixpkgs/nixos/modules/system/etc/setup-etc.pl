# Makes /etc as the tree in argument 1 says: /etc/static becomes that tree, each of its files
# a link through it or, where a `.mode` file lies beside it, a copy. What an earlier
# generation put here and this one does not have is taken away.
use strict;
use warnings;

my ($etc) = @ARGV;
my $static = "/etc/static";
my $copies_file = "/etc/.clean";
my (%wanted, %copied, $failed);

sub complain {
    my ($message) = @_;
    print STDERR "$message\n";
    $failed = 1;
}

# A rename replaces a link or file in one step, so that nobody ever meets a gap.
sub link_to {
    my ($to, $path) = @_;
    return 1 if -l $path && readlink($path) eq $to;
    if (-d $path && !-l $path) {
        return complain("/etc is in the way: $path is a directory, not replaced");
    }
    my $new = "$path.tmp";
    unlink $new;
    symlink($to, $new) && rename($new, $path) or complain("could not link $path: $!");
}

sub make_parents {
    my ($path) = @_;
    my $dir = "";
    for my $part (split m{/}, $path =~ s{/[^/]*$}{}r) {
        next if $part eq "";
        $dir .= "/$part";
        # A link to the store of an earlier generation becomes a directory.
        unlink $dir if -l $dir && readlink($dir) =~ m{^/etc/static/|^/nix/store/};
        mkdir $dir, 0755 unless -d $dir;
    }
}

sub id_of {
    my ($name, $lookup) = @_;
    return $1 if $name =~ /^\+(\d+)$/;
    my $id = $lookup->($name);
    complain("setting up /etc: there is no user or group $name") unless defined $id;
    return $id // 0;
}

sub copy {
    my ($name, $mode, $user, $group) = @_;
    my $path = "/etc/$name";
    open(my $in, "<", "$static/$name") or return complain("could not read $static/$name: $!");
    unlink "$path.tmp";
    my $old_mask = umask 0077;
    open(my $out, ">", "$path.tmp") or return complain("could not write $path.tmp: $!");
    umask $old_mask;
    local $/;
    print {$out} scalar <$in>;
    close $out or return complain("could not write $path.tmp: $!");
    chown id_of($user, sub { scalar getpwnam $_[0] }), id_of($group, sub { scalar getgrnam $_[0] }),
        "$path.tmp";
    chmod oct $mode, "$path.tmp";
    rename "$path.tmp", $path or complain("could not put $path in place: $!");
    $copied{$name} = 1;
}

sub place {
    my ($name) = @_;
    my $path = "/etc/$name";
    $wanted{$name} = 1;
    make_parents($path);
    if (open(my $mode_file, "<", "$static/$name.mode")) {
        chomp(my ($mode, $user, $group) = <$mode_file>);
        if ($mode eq "direct-symlink") {
            link_to(readlink "$static/$name", $path);
        } else {
            copy($name, $mode, $user, $group);
        }
    } else {
        link_to("$static/$name", $path);
    }
}

sub walk {
    my ($below) = @_;
    opendir(my $dir, "$static/$below") or return;
    for my $entry (sort grep { !/^\.\.?$/ } readdir $dir) {
        my $name = $below eq "" ? $entry : "$below/$entry";
        if (-d "$static/$name" && !-l "$static/$name") {
            walk($name);
        } elsif ($entry !~ /\.mode$/ || !-e "$static/" . ($name =~ s/\.mode$//r)) {
            place($name);
        }
    }
}

# Links through /etc/static whose file is gone.
sub clean {
    my ($dir) = @_;
    opendir(my $handle, $dir) or return;
    for my $entry (grep { !/^\.\.?$/ } readdir $handle) {
        my $path = "$dir/$entry";
        if (-l $path) {
            next unless readlink($path) =~ m{^\Q$static\E/};
            unlink $path unless $wanted{ substr $path, length "/etc/" };
        } elsif (-d $path && $path ne "/etc/nixos") {
            clean($path);
        }
    }
}

link_to($etc, $static);
walk("");
clean("/etc");

# Copies that an earlier generation made.
if (open(my $old, "<", $copies_file)) {
    for my $name (<$old>) {
        chomp $name;
        unlink "/etc/$name" unless $wanted{$name};
    }
}
open(my $new, ">", $copies_file) or complain("could not write $copies_file: $!");
print {$new} map { "$_\n" } sort keys %copied;
close $new;

# The mark by which switch-to-configuration knows that it is on a NixOS.
open(my $tag, ">>", "/etc/NIXOS") or complain("could not write /etc/NIXOS: $!");
exit($failed ? 1 : 0);
