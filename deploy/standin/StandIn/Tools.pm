package StandIn::Tools;
# Logging in kaniko's formats, running programs, the little JSON that is needed, and paths that stay inside a root.

use strict;
use warnings;
use Cwd ();
use Exporter 'import';
use POSIX ();
our @EXPORT_OK = qw(info warning log_format run capture tool json_read json_text inside write_file read_file);

my $format = 'color';
my $started = time;

sub log_format { ($format) = @_ }
sub info { logged('info', 36, @_) }
sub warning { logged('warning', 33, @_) }

sub logged {
    my ($level, $colour, $message) = @_;
    my $now = POSIX::strftime('%Y-%m-%dT%H:%M:%SZ', gmtime);
    if ($format eq 'json') {
        printf STDERR '{"level":%s,"msg":%s,"time":"%s"}' . "\n", json_text($level), json_text($message), $now;
    } elsif ($format eq 'text') {
        printf STDERR "time=\"%s\" level=%s msg=%s\n", $now, $level, json_text($message);
    } else {
        printf STDERR "\e[%dm%s\e[0m[%04d] %s\n", $colour, uc substr($level, 0, 4), time - $started, $message;
    }
}

# Runs a program without a shell and answers (exit status, what it printed on both streams).
sub capture {
    my (@command) = @_;
    my $pid = open(my $out, '-|') // die "cannot fork: $!\n";
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec { $command[0] } @command or print "$command[0]: $!\n";
        POSIX::_exit(127);
    }
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($?, $text);
}

# Runs a program that must succeed, and answers what it printed; dies with its last line.
sub tool {
    my ($status, $text) = capture(@_);
    return $text if $status == 0;
    my ($last) = reverse grep { /\S/ } split /\n/, $text;
    # skopeo writes logrus lines too: time="…" level=fatal msg="…"
    if (($last // '') =~ /level=(?:fatal|error) msg="(.*)"\s*$/) { $last = $1; $last =~ s/\\(.)/$1/g }
    die(($last // "$_[0] ended with status $status") . "\n");
}

sub read_file {
    my ($path) = @_;
    open my $file, '<', $path or die "open $path: " . lc("$!") . "\n";
    local $/;
    return scalar <$file>;
}

sub write_file {
    my ($path, $text) = @_;
    open my $file, '>', $path or die "writing $path failed: $!\n";
    print {$file} $text;
    close $file or die "writing $path failed: $!\n";
}

sub json_text {
    my ($text) = @_;
    $text =~ s/([\\"])/\\$1/g;
    $text =~ s/\n/\\n/g;
    $text =~ s/\t/\\t/g;
    $text =~ s/([\x00-\x1f])/sprintf '\\u%04x', ord $1/ge;
    return "\"$text\"";
}

# A JSON text as nested Perl data.
sub json_read {
    my ($text) = @_;
    my $value = json_value(\$text);
    return $value;
}

sub json_value {
    my ($text) = @_;
    $$text =~ s/^\s+//;
    if ($$text =~ s/^\{\s*//) {
        my %object;
        until ($$text =~ s/^\}//) {
            my $key = json_value($text);
            $$text =~ s/^\s*:// or die "malformed JSON\n";
            $object{$key} = json_value($text);
            $$text =~ s/^\s*,?\s*//;
        }
        return \%object;
    }
    if ($$text =~ s/^\[\s*//) {
        my @list;
        until ($$text =~ s/^\]//) { push @list, json_value($text); $$text =~ s/^\s*,?\s*// }
        return \@list;
    }
    if ($$text =~ s/^"((?:[^"\\]|\\.)*)"//s) {
        my $string = $1;
        my %escapes = (n => "\n", t => "\t", r => "\r", b => "\b", f => "\f");
        $string =~ s{\\(?:u([0-9a-fA-F]{4})|(.))}{defined $1 ? chr hex $1 : $escapes{$2} // $2}ge;
        return $string;
    }
    return $1 eq 'null' ? undef : $1 if $$text =~ s/^(true|false|null|-?[0-9.eE+-]+)//;
    die "malformed JSON\n";
}

# The real path of $path below $root, with every link on the way (the last one too) read as it is inside $root.
sub inside {
    my ($root, $path) = @_;
    my @todo = split m{/+}, $path;
    my @done;
    my $links = 0;
    while (@todo) {
        my $part = shift @todo;
        next if $part eq '' || $part eq '.';
        if ($part eq '..') { pop @done; next }
        my $here = join '/', $root, @done, $part;
        if (-l $here) {
            die "too many levels of symbolic links: $path\n" if ++$links > 40;
            my $target = readlink $here;
            @done = () if $target =~ m{^/};
            unshift @todo, split m{/+}, $target;
        } else {
            push @done, $part;
        }
    }
    return join '/', $root, @done;
}

1;
