package StandIn::Stage;
# Builds one stage: unpacks its base, executes its instructions, packs what has changed as one layer.

use strict;
use warnings;
use POSIX ();
use StandIn::Dockerfile qw(words expand);
use StandIn::Tools qw(info tool json_read inside read_file write_file);

my $WORK = '/kaniko/standin';
our $LAYOUT = "$WORK/layout";
my @PREDEFINED = map { ($_, lc $_) } qw(HTTP_PROXY HTTPS_PROXY FTP_PROXY NO_PROXY ALL_PROXY);

# Files that a RUN finds in place of the image's own, and that never get into an image.
my @BORROWED = ('/etc/resolv.conf', '/etc/hosts');

# index, image (a tag of the layout), context, ignored (by .dockerignore), build_args, secrets (files by id), globals,
# rootfs_of (another stage or image).
sub new {
    my ($class, %self) = @_;
    my $self = bless \%self, $class;
    $self->{tag} = "stage$self->{index}";
    $self->{bundle} = "$WORK/bundle$self->{index}";
    $self->{root} = "$self->{bundle}/rootfs";
    tool('umoci', 'unpack', '--image', "$LAYOUT:$self->{image}", $self->{bundle});
    my $config = json_read(tool('skopeo', 'inspect', '--config', "oci:$LAYOUT:$self->{image}"))->{config} // {};
    $self->{env} = { map { split /=/, $_, 2 } @{ $config->{Env} // [] } };
    $self->{workdir} = $config->{WorkingDir} || '/';
    $self->{user} = $config->{User} // '';
    $self->{args} = {};
    $self->{changes} = [];
    return $self;
}

sub vars {
    my ($self) = @_;
    return { %{ $self->{args} }, %{ $self->{env} } };
}

sub execute {
    my ($self, $step) = @_;
    info($step->{text});
    my $method = 'do_' . lc $step->{word};
    $self->$method($step);
}

# Packs the stage, under its own tag.
sub pack {
    my ($self) = @_;
    info('Taking snapshot of full filesystem...');
    tool('umoci', 'repack', '--image', "$LAYOUT:$self->{tag}", '--history.created_by', 'slipway stand-in executor', $self->{bundle});
    for my $kind (grep { $self->{$_} } qw(cmd entrypoint)) {
        $self->change('--clear', "config.$kind", map { ("--config.$kind", $_) } @{ $self->{$kind} });
    }
    my @changes = (@{ $self->{changes} }, '--history.created_by', 'slipway stand-in executor');
    tool('umoci', 'config', '--image', "$LAYOUT:$self->{tag}", @changes);
}

sub change { my ($self, @change) = @_; push @{ $self->{changes} }, @change }

sub do_arg {
    my ($self, $step) = @_;
    for my $pair (words($step->{rest}, $self->vars)) {
        my ($name, $default) = split /=/, $pair, 2;
        my $value = $self->{build_args}{$name} // $default // $self->{globals}{$name};
        $self->{args}{$name} = $value if defined $value;
    }
}

# NAME=value …, or NAME and the rest of the line.
sub pairs {
    my ($self, $step) = @_;
    if ($step->{rest} =~ /^([^\s="']+)\s+(.*)$/s) {
        my ($name, $value) = ($1, $2);
        return [$name, join ' ', words($value, $self->vars)];
    }
    return map { [split /=/, $_, 2] } words($step->{rest}, $self->vars);
}

sub do_env {
    my ($self, $step) = @_;
    for my $pair ($self->pairs($step)) {
        my ($name, $value) = ($pair->[0], $pair->[1] // '');
        $self->{env}{$name} = $value;
        $self->change('--config.env', "$name=$value");
    }
}

sub do_label {
    my ($self, $step) = @_;
    $self->change('--config.label', "$_->[0]=" . ($_->[1] // '')) for $self->pairs($step);
}

sub do_expose {
    my ($self, $step) = @_;
    $self->change('--config.exposedports', m{/} ? $_ : "$_/tcp") for words($step->{rest}, $self->vars);
}

sub do_user {
    my ($self, $step) = @_;
    ($self->{user}) = words($step->{rest}, $self->vars);
    $self->change('--config.user', $self->{user});
}

sub do_workdir {
    my ($self, $step) = @_;
    my ($path) = words($step->{rest}, $self->vars);
    $self->{workdir} = $path =~ m{^/} ? $path : "$self->{workdir}/$path" =~ s{/+}{/}gr;
    tool('mkdir', '-p', inside($self->{root}, $self->{workdir}));
    $self->change('--config.workingdir', $self->{workdir});
}

# The exec form's words, or a shell's.
sub command {
    my ($rest) = @_;
    if ($rest =~ /^\[/) {
        my $words = eval { json_read($rest) };
        return @$words if ref $words eq 'ARRAY' && !grep { !defined || ref } @$words;
    }
    return ('/bin/sh', '-c', $rest);
}

sub do_cmd {
    my ($self, $step) = @_;
    $self->{cmd} = [command($step->{rest})];
}

sub do_entrypoint {
    my ($self, $step) = @_;
    $self->{entrypoint} = [command($step->{rest})];
    # The base image's arguments are for the base image's entry point.
    $self->{cmd} //= [];
}

sub do_add {
    my ($self, $step) = @_;
    for my $source ((words($step->{rest}, $self->vars))) {
        die "failed to execute command: the stand-in executor does not support ADD of URLs\n" if $source =~ m{^(https?|git)[:@]};
        die "failed to execute command: the stand-in executor does not support ADD of archives\n" if $source =~ /\.(tar|tgz|tbz2|txz|tar\.\w+)$/;
    }
    $self->do_copy($step);
}

sub do_copy {
    my ($self, $step) = @_;
    my $flags = $step->{flags} // {};
    my @words = $step->{rest} =~ /^\[/ ? map { expand($_, $self->vars) } command($step->{rest}) : words($step->{rest}, $self->vars);
    my $destination = pop @words;
    my $from = $flags->{from} ? $self->{rootfs_of}->(expand($flags->{from}, $self->vars)) : $self->{context};
    my @sources = map { $self->sources($from, $_, defined $flags->{from}) } @words;
    my $target = $destination =~ m{^/} ? $destination : "$self->{workdir}/$destination";
    my $into = $destination =~ m{(^|/)\.?$} || @sources > 1 || -d inside($self->{root}, $target);
    my $owner = $flags->{chown} ? join(':', $self->ids(expand($flags->{chown}, $self->vars))) : '0:0';
    for my $source (@sources) {
        my $to = inside($self->{root}, $target);
        my $folder = -d $source && !-l $source;
        $to .= '/' . ($source =~ s{.*/}{}r) if $into && !$folder;
        $self->put($source, $to, $folder, $owner, $flags->{chmod});
    }
}

# What a pattern of COPY names below $from; nothing outside it.
sub sources {
    my ($self, $from, $pattern, $foreign) = @_;
    my $clean = join '/', grep { $_ ne '' && $_ ne '.' } split m{/}, $pattern;
    die "failed to execute command: resolving src: $pattern leaves the context\n" if grep { $_ eq '..' } split m{/}, $clean;
    my @found = $clean =~ /[*?\[]/ ? glob(join '/', quotemeta $from, $clean =~ s/([\s\\{}~])/\\$1/gr) : ("$from/$clean");
    @found = grep { (-e || -l) && ($foreign || !$self->{ignored}->(substr $_, length($from) + 1)) } @found;
    die "failed to get files used from context: failed to get fileinfo for $from/$clean: lstat $from/$clean: no such file or directory\n"
        unless @found;
    # A link as such is copied as what it points to, read as inside $from.
    return map { -l $_ ? inside($from, substr $_, length $from) : inside($from, substr($_, length $from) =~ s{[^/]+$}{}r) . '/' . s{.*/}{}r } @found
        if $clean ne '';
    return ($from);
}

sub put {
    my ($self, $source, $to, $folder, $owner, $mode) = @_;
    my $stage = "$WORK/copy";
    tool('rm', '-rf', $stage);
    tool('mkdir', '-p', $stage, $folder ? $to : $to =~ s{/[^/]*$}{}r);
    tool('cp', '-a', $folder ? "$source/." : $source, $folder ? "$stage/" : "$stage/file");
    $self->prune($source, $stage) if $folder && index($source, $self->{context}) == 0;
    tool('chown', '-hR', $owner, $stage);
    tool('chmod', '-R', $mode, $stage) if defined $mode;
    tool('cp', '-a', $folder ? ("$stage/.", "$to/") : ("$stage/file", $to));
    tool('rm', '-rf', $stage);
}

# Takes out of a copied folder what .dockerignore names.
sub prune {
    my ($self, $source, $stage) = @_;
    my $below = $source eq $self->{context} ? '' : substr($source, length($self->{context}) + 1) . '/';
    for my $path (split /\0/, tool('find', $stage, '-mindepth', '1', '-depth', '-print0')) {
        my $name = substr $path, length($stage) + 1;
        next unless $self->{ignored}->("$below$name");
        -d $path && !-l $path ? rmdir $path : unlink $path;
    }
}

# (uid, gid) of user[:group], by name or number, as the image's own files have them.
sub ids {
    my ($self, $text) = @_;
    my ($user, $group) = split /:/, $text, 2;
    my ($uid, $gid) = $user =~ /^\d+$/ ? ($user, $self->lookup('passwd', 2, $user, 3) // 0) : ();
    if (!defined $uid) {
        ($uid, $gid) = map { $self->lookup('passwd', 0, $user, $_) } 2, 3;
        die "failed to execute command: resolving user $user: lookup user $user: unknown user\n" unless defined $uid;
    }
    if (defined $group) {
        $gid = $group =~ /^\d+$/ ? $group : $self->lookup('group', 0, $group, 2);
        die "failed to execute command: resolving group $group: unknown group\n" unless defined $gid;
    }
    return ($uid, $gid);
}

sub lookup {
    my ($self, $file, $by, $wanted, $field) = @_;
    my $text = eval { read_file(inside($self->{root}, "/etc/$file")) } // return;
    for my $line (split /\n/, $text) {
        my @fields = split /:/, $line;
        return $fields[$field] if ($fields[$by] // '') eq $wanted;
    }
    return;
}

sub do_run {
    my ($self, $step) = @_;
    my @command = command($step->{rest});
    info("Cmd: $command[0]");
    info("Args: [@command[1 .. $#command]]");
    info("Running: [@command]");
    my ($uid, $gid) = $self->{user} eq '' ? (0, 0) : $self->ids($self->{user});
    my $passed = { map { $_ => $self->{build_args}{$_} } grep { defined $self->{build_args}{$_} } @PREDEFINED };
    my $home = $uid == 0 ? '/root' : $self->lookup('passwd', 2, $uid, 5) // '/';
    my %env = (HOME => $home, PATH => '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', %$passed, %{ $self->vars });
    my $give_back = $self->lend;
    my $take_away = $self->give_secrets($step);
    my $pid = fork // die "starting command: $!\n";
    $self->become($uid, $gid, \%env, @command) if !$pid;
    waitpid $pid, 0;
    my $status = $?;
    $take_away->();
    $give_back->();
    return if $status == 0;
    my ($code, $words) = $status & 127 ? (255, 'signal: killed') : ($status >> 8, 'exit status ' . ($status >> 8));
    die { exit => $code, message => "failed to execute command: waiting for process to exit: $words" };
}

# Gives the step the secrets that it asks for as files, and answers how to take them away again.
sub give_secrets {
    my ($self, $step) = @_;
    my @back;
    for my $mount (@{ $step->{mounts} // [] }) {
        my %option = map { my ($name, $value) = split /=/, $_, 2; ($name => $value // 'true') } split /,/, $mount;
        my $target = $option{target} // $option{dst} // $option{destination};
        my $id = $option{id} // ($target // '') =~ s{.*/}{}r;
        my $from = $self->{secrets}{$id};
        if (!defined $from) {
            die "failed to execute command: secret not defined: $id\n" if $option{required};
            info("skip mounting \"$id\" as it is not available");
            next;
        }
        my $path = inside($self->{root}, $target // "/run/secrets/$id");
        my @parts = split m{/}, $path =~ s{/[^/]*$}{}r;
        for my $folder (map { join '/', @parts[0 .. $_] } 1 .. $#parts) {
            next if -d $folder;
            mkdir $folder;
            unshift @back, sub { rmdir $folder };
        }
        write_file($path, read_file($from));
        chmod oct($option{mode} // '0400'), $path;
        unshift @back, sub { unlink $path };
    }
    return sub { $_->() for @back };
}

# In the child: enters the image and becomes the command.
sub become {
    my ($self, $uid, $gid, $env, @command) = @_;
    my $enter = eval {
        chroot $self->{root} or die "chroot: $!\n";
        chdir $self->{workdir} or die "chdir $self->{workdir}: $!\n";
        $) = "$gid $gid";
        $( = $gid;
        POSIX::setuid($uid) or die "setuid: $!\n";
        1;
    };
    print STDERR "starting command: $@" unless $enter;
    %ENV = %$env;
    open STDIN, '<', '/dev/null';
    exec { $command[0] } @command or print STDERR "$command[0]: $!\n" if $enter;
    POSIX::_exit($enter ? 127 : 1);
}

# Lends the image what a process expects of a running system, and answers how to take it back. There may be no device
# nodes (that takes a capability which builds do not have), so /dev/null is a file that is thrown away.
sub lend {
    my ($self) = @_;
    my @back;
    for my $path (@BORROWED, '/dev/null') {
        my $there = inside($self->{root}, $path);
        my $folder = $there =~ s{/[^/]*$}{}r;
        next if $path eq '/dev/null' && -c $there;
        if (!-d $folder) {
            tool('mkdir', '-p', $folder);
            unshift @back, sub { rmdir $folder };
        }
        my $kept = "$WORK/kept" . ($path =~ s{/}{_}gr);
        if (-e $there) {
            tool('mv', $there, $kept);
            unshift @back, sub { tool('mv', $kept, $there) };
        }
        write_file($there, $path eq '/dev/null' ? '' : read_file($path));
        chmod $path eq '/dev/null' ? 0666 : 0644, $there;
        unshift @back, sub { unlink $there };
    }
    return sub { $_->() for @back };
}

1;
