package StandIn::Dockerfile;
# Reads a Dockerfile into stages. What the stand-in cannot build is refused here, by name and before anything is done.

use strict;
use warnings;
use Exporter 'import';
our @EXPORT_OK = qw(parse words expand);

my %KNOWN = map { $_ => 1 } qw(FROM ARG ENV WORKDIR COPY ADD RUN USER LABEL EXPOSE CMD ENTRYPOINT);
my %OTHERS = map { $_ => 1 } qw(HEALTHCHECK MAINTAINER ONBUILD SHELL STOPSIGNAL VOLUME);
my %FLAGS = (COPY => { from => 1, chown => 1, chmod => 1 }, ADD => { chown => 1, chmod => 1 }, FROM => { platform => 1 }, RUN => { mount => 1 });

# ([global ARG instructions], [{ from, name, steps => [...] }, ...]); dies with kaniko's words for a parse error.
sub parse {
    my ($text) = @_;
    my (@globals, @stages);
    for my $step (instructions($text)) {
        my ($line, $word, $rest) = @$step{qw(line word rest)};
        my $wrong = sub { die "dockerfile parse error on line $line: $_[0]\n" };
        $wrong->("the stand-in executor does not support $word") if $OTHERS{$word};
        $wrong->("unknown instruction: $word") unless $KNOWN{$word};
        $wrong->("$word requires at least one argument") if $rest eq '' && $word !~ /^(CMD|ENTRYPOINT)$/;
        $wrong->("the stand-in executor does not support here-documents") if $word =~ /^(RUN|COPY|ADD)$/ && $rest =~ /(^|\s)<<-?["']?\w/;
        take_flags($step, $wrong);
        if ($word eq 'FROM') {
            $step->{rest} =~ /^(\S+)(?:\s+as\s+(\S+))?$/i or $wrong->('FROM requires either one or three arguments');
            push @stages, { from => $1, name => lc($2 // ''), steps => [] };
        } elsif (@stages) {
            push @{ $stages[-1]{steps} }, $step;
        } elsif ($word eq 'ARG') {
            push @globals, $step;
        } else {
            $wrong->('no build stage in current context');
        }
    }
    die "dockerfile must contain at least one FROM instruction\n" unless @stages;
    return (\@globals, \@stages);
}

sub take_flags {
    my ($step, $wrong) = @_;
    while ($step->{rest} =~ s/^--([a-z]+)(?:=(\S+))?\s*//) {
        my ($flag, $value) = ($1, $2);
        $wrong->("the stand-in executor does not support $step->{word} --$flag") unless $FLAGS{ $step->{word} }{$flag};
        $step->{flags}{$flag} = $value // '';
        next if $flag ne 'mount';
        $wrong->("the stand-in executor does not support $step->{word} --mount other than type=secret") unless grep { $_ eq 'type=secret' } split /,/, $value // '';
        push @{ $step->{mounts} }, $value;
    }
}

# Joins continued lines, drops comments, and gives each instruction its line.
sub instructions {
    my ($text) = @_;
    my (@steps, $open);
    my $number = 0;
    die "the stand-in executor does not support the escape directive\n" if $text =~ /\A(?:#.*\n)*#\s*escape\s*=\s*`/i;
    for my $line (split /\r?\n/, $text) {
        $number++;
        next if $line =~ /^\s*#/ || ($line =~ /^\s*$/);
        my $more = $line =~ s/\\\s*$//;
        if ($open) { $open->{text} .= $line } else { $open = { line => $number, text => $line } }
        next if $more;
        push @steps, $open;
        $open = undef;
    }
    push @steps, $open if $open;
    for my $step (@steps) {
        $step->{text} =~ s/^\s+|\s+$//g;
        my ($word, $rest) = split /\s+/, $step->{text}, 2;
        @$step{qw(word rest)} = (uc $word, $rest // '');
    }
    return @steps;
}

# Splits into words as Dockerfiles quote them, with variables replaced outside single quotes.
sub words {
    my ($text, $vars) = @_;
    my (@words, $word);
    while (length $text) {
        if ($text =~ s/^\s+//) { push @words, $word if defined $word; $word = undef; next }
        $word //= '';
        if ($text =~ s/^'([^']*)'//) { $word .= $1 }
        elsif ($text =~ s/^"((?:[^"\\]|\\.)*)"//s) { my $inner = expand($1, $vars); $inner =~ s/\\(["\\\$])/$1/g; $word .= $inner }
        elsif ($text =~ s/^\\(.)//s) { $word .= $1 }
        elsif ($text =~ s/^(\$\{[^}]*\}|\$\w+)//) { $word .= expand($1, $vars) }
        elsif ($text =~ s/^(.)//s) { $word .= $1 }
    }
    push @words, $word if defined $word;
    return @words;
}

# Replaces $NAME, ${NAME}, ${NAME:-default} and ${NAME:+instead}.
sub expand {
    my ($text, $vars) = @_;
    my $value = sub {
        my ($name, $operator, $other) = @_;
        my $set = defined $vars->{$name} && $vars->{$name} ne '';
        return $set ? $vars->{$name} : expand($other, $vars) if ($operator // '') eq ':-';
        return $set ? expand($other, $vars) : '' if ($operator // '') eq ':+';
        return $vars->{$name} // '';
    };
    $text =~ s/(?<!\\)\$(?:\{(\w+)(?:(:[-+])([^}]*))?\}|(\w+))/$value->($1 \/\/ $4, $2, $3)/ge;
    return $text;
}

1;
