# What the files of units say: which files they are, what is in them, and how two of them
# differ.
package UnitFiles;
use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter qw(import);

our @EXPORT_OK = qw(compare files_of flag is_gone parse read_file);

# Units of the machine; a NixOS would have links to them among its own.
my $machine_units = "/lib/systemd/system";

sub read_file {
    my ($path) = @_;
    open(my $file, "<", $path) or return "";
    local $/;
    return scalar(<$file>) // "";
}

# `foo@bar.service` is described by `foo@.service`.
sub template_of { return $_[0] =~ /^(.*)@[^.]*\.([^.]*)$/ ? "$1\@.$2" : $_[0] }

# The files that describe a unit in one of the two trees: its own, then the drop-ins.
sub files_of {
    my ($tree, $unit) = @_;
    my $template = template_of($unit);
    my ($own) = grep { -e $_ || -l $_ }
        map { ("$tree/$_", "$machine_units/$_") } $unit eq $template ? ($unit) : ($unit, $template);
    my %seen;
    my @dropins = map { sort glob "$_/*.conf" } grep { -d $_ && !$seen{$_}++ } map { "$tree/$_.d" } $template, $unit;
    return ($own, @dropins);
}

# Whether a tree has the unit no longer, or masks it.
sub is_gone {
    my ($tree, $unit) = @_;
    my ($own) = files_of($tree, $unit);
    return 1 unless defined $own;
    return (abs_path($own) // "/dev/null") eq "/dev/null";
}

# `{ section => { key => [values] } }`. An empty value takes back those before it.
sub parse {
    my (@files) = @_;
    my (%info, $section);
    for my $path (grep { defined } @files) {
        my $text = read_file($path) =~ s/\\\n/ /gr;
        for my $line (split /\n/, $text) {
            next if $line =~ /^\s*([#;].*)?$/;
            if ($line =~ /^\s*\[(.*)\]\s*$/) { $section = $1; $info{$section} //= {} }
            elsif (defined $section && $line =~ /^\s*([^=]+?)\s*=\s*(.*?)\s*$/) {
                if ($2 eq "") { $info{$section}{$1} = [] }
                else { push @{ $info{$section}{$1} }, $2 }
            }
        }
    }
    return \%info;
}

sub last_value {
    my ($info, $section, $key) = @_;
    return ($info->{$section}{$key} // [])->[-1];
}

sub flag {
    my ($info, $section, $key, $default) = @_;
    my $value = last_value($info, $section, $key) // return $default;
    return $value =~ /^(1|yes|true|on)$/i ? 1 : 0;
}

# Keys that say nothing about how a unit runs.
my %ignored = map { $_ => 1 } qw(
    Description Documentation OnFailure OnSuccess OnFailureJobMode CollectMode SourcePath StopWhenUnneeded
    RefuseManualStart RefuseManualStop AllowIsolate IgnoreOnIsolate
);

# "equal", "restart" or "reload".
sub compare {
    my ($old, $new) = @_;
    my $result = "equal";
    my %sections = map { $_ => 1 } keys %$old, keys %$new;
    delete $sections{Install};
    for my $section (keys %sections) {
        my ($a, $b) = ($old->{$section} // {}, $new->{$section} // {});
        for my $key (keys %{ { map { $_ => 1 } keys %$a, keys %$b } }) {
            next if $section eq "Unit" && $ignored{$key};
            next if join("\0", @{ $a->{$key} // [] }) eq join("\0", @{ $b->{$key} // [] });
            my $reload = ($section eq "Unit" && $key eq "X-Reload-Triggers")
                || ($section eq "Service" && $key eq "ExecReload")
                || ($section eq "Mount" && $key eq "Options");
            return "restart" unless $reload;
            $result = "reload";
        }
    }
    return $result;
}

1;
