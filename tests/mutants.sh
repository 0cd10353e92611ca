#!/bin/sh
# Takes one guard after the other out of a copy of the sources, and sees that a
# test fails for each. A guard that no test misses is a guard that nobody would
# miss when it breaks.
# shellcheck source=tests/lib.sh disable=SC2086 # lists of programs
. "$(dirname "$0")/lib.sh"

# Two at a time, each with half of them and a copy of its own: MUTANTS is which.
if [ -z "${MUTANTS:-}" ]; then
    # What a shell starts in the background does not hear of Ctrl-C: it is told.
    MUTANTS=0 "$top/tests/mutants.sh" >"$scratch/first" 2>&1 &
    first=$!
    MUTANTS=1 "$top/tests/mutants.sh" &
    second=$!
    trap 'kill "$first" "$second" || :; exit 130' INT TERM HUP
    status=0
    wait "$second" || status=$?
    wait "$first" || status=$?
    cat "$scratch/first"
    exit "$status"
fi

copy_tree "$scratch/tree"
cd "$scratch/tree"
export DEPS=skip
unset WERROR # what a mutant leaves unused is no error
number=0 caught=0 survived=''

# mutate WHAT FILE EDIT TEST...: EDIT is for sed. TEST is what must fail then,
# and is one of the three below: it returns 99 when it could not be built.
mutate() {
    what=$1 file=$2 edit=$3
    shift 3
    number=$((number + 1))
    [ $((number % 2)) -eq "$MUTANTS" ] || return 0
    cp "$file" "$scratch/original"
    sed -i "$edit" "$file"
    ! cmp -s "$file" "$scratch/original" || fail "there is no such place any more: $what"
    status=0
    for _ in 1 2 3; do # what only a race shows may be missed once
        "$@" >"$scratch/log" 2>&1 || status=$?
        [ "$status" -eq 0 ] || break
    done
    case $status in
    0)
        survived="$survived
   $what"
        echo "   SURVIVED: $what"
        ;;
    99) cat "$scratch/log" && fail "it does not build, which proves nothing: $what" ;;
    *) caught=$((caught + 1)) ;;
    esac
    # Newer than what was built from the mutant.
    cp "$scratch/original" "$file"
}

# A mutant that hangs is seen, too.
limited() {
    timeout -k 5 100 "$@"
}

# c PROGRAM...: C tests, in the first flavour.
c() {
    for program in "$@"; do
        make --no-print-directory "build/testing/$program" || return 99
        limited "build/testing/$program" || return 1
    done
}

# guard: the guard among other handlers.
guard() {
    make --no-print-directory all programs-testing || return 99
    limited tests/guard.sh || return 1
}

# in_go PATTERN [PACKAGE]: Go tests.
in_go() {
    go test -count=1 -run '^$' "./go${2:+/$2}" || return 99
    limited go test -count=1 -failfast -run "$1" "./go${2:+/$2}" || return 1
}

# The programs that are about one thing.
guard='test_guard test_guard_chain test_guard_call test_guard_death'
try='test_try test_try_state test_try_threads'
copy='test_cpu test_copy test_copy_faults test_direct'
clean=test_sync_clean
dirty='test_dirty test_dirty_beside'
write='test_through test_rewrite test_append test_append_threads'
other='test_advice test_memory test_number test_resize test_source test_sync'

# What fails, or is too slow, without a mutant would prove nothing with one.
for tests in "c $guard $try $copy $clean $dirty $write $other" guard 'in_go .' 'in_go . mmapgo'; do
    $tests >"$scratch/log" 2>&1 || { cat "$scratch/log"; fail "without a mutant this does not pass: $tests"; }
done

mutate 'what is not ours is passed on' c/guard.c \
    's/^    bool is_default = action->sa_handler == SIG_DFL;/    return;\n&/' c $guard
mutate 'the handler runs on the alternate stack' c/guard.c \
    's/SA_SIGINFO | SA_ONSTACK | SA_RESTART/SA_SIGINFO | SA_RESTART/' guard
mutate 'interrupted calls are restarted' c/guard.c \
    's/SA_SIGINFO | SA_ONSTACK | SA_RESTART/SA_SIGINFO | SA_ONSTACK/' c $guard
mutate 'the handler is not interrupted' c/guard.c \
    's/^    sigfillset(&ours.sa_mask);/    sigemptyset(\&ours.sa_mask);/' c $guard
mutate 'a fault elsewhere is not one of the copy' c/cpu_x86_64.c \
    's/    if (at >= (uintptr_t)mv__cpu_blocks_begin && at < (uintptr_t)mv__cpu_blocks_end)/    if (true)/' c $guard
mutate 'a guarded call that was left is over' c/guard.c \
    's/        is_left(context, pad))/        (false \&\& is_left(context, pad)))/' c $guard
mutate 'mv_try ends only for an address of its view' c/guard.c \
    's/while (pad && !covers(pad, address))/while (false)/' c $try
mutate 'a signal that somebody sent is no fault' c/guard.c \
    's/    if (info->si_code <= 0)/    if (false)/' c $guard
mutate 'the handler before has the mask that it would have had' c/guard.c \
    's/^    mv__sys_mask_for(.*/    (void)context;/' c $guard
mutate 'errno survives the handler' c/guard.c \
    's/^    errno = before;//; s/^    int before = errno;//' c $guard
mutate 'a handler on another stack is not left behind' c/guard.c \
    's/ is_elsewhere(context, pad) ||/ (false \&\& is_elsewhere(context, pad)) ||/' c $try
mutate 'the outer try is in force again after the inner one' c/guard.c \
    's/atomic_store_explicit(&slot->top, pad->outer, memory_order_relaxed);/atomic_store_explicit(\&slot->top, NULL, memory_order_relaxed);/' \
    c $try
mutate 'a thread that ends gives its slot back' c/guard.c \
    's/^    atomic_store_explicit(&((struct slot \*)slot)->thread, 0, memory_order_release);//' c $try
mutate 'a child of fork forgets the threads that it has not' c/guard.c \
    's/^                give_back(&t->slots\[i\]);/                (void)thread;/' c $try
mutate 'a fault among vectors is counted to the byte' c/cpu_x86_64.c \
    's/copies_number(registers) ? mv__cpu_untouched : mv__cpu_again;/copies_number(registers) ? mv__cpu_untouched : mv__cpu_untouched;/' c $copy
mutate 'the copy is guarded to its end' c/cpu_x86_64.c \
    's/at < (uintptr_t)mv__cpu_blocks_end)/at < (uintptr_t)mv__cpu_blocks_end - 64)/' c $copy
mutate 'the direction flag is cleared' c/cpu_x86_64.c \
    's/^    registers\[REG_EFL\] &= .*//' c $try
mutate 'a view without the handler does not use it' c/view.c \
    's/view->guarded = !(o->flags & MV_OPEN_NO_HANDLER);/view->guarded = true;/' c $copy
mutate 'a truncation is told from a device error' c/cause.c \
    's/    if (at >= length)/    if (false)/' c $copy
mutate 'blocks are asked for within RLIMIT_FSIZE' c/cause.c \
    's/    if (mv__resize_check_limit(end, NULL) < 0)/    if (false)/' c test_direct
mutate 'a sync compares the length of the file' c/sync.c \
    's/-MV_ETRUNCATED/0/' c test_sync
mutate 'a write is marked after the copy' c/copy.c \
    's/^    if (access == MV_WRITE && view)$/    if (false)/' c $clean
mutate 'a sync of the whole view makes it clean' c/sync.c \
    's/^    bool whole = begin_clean(view, span, &before);/    bool whole = true;\n    (void)begin_clean;/' c $clean
mutate 'only a sync that succeeded is clean' c/sync.c \
    's/    if (r == 0 && whole)/    if (whole)/' c $clean
mutate 'what mv_data was called on is never clean' c/view.c \
    's/atomic_store_explicit(lent, true,/atomic_store_explicit(lent, false,/' c $clean
mutate 'what a sync is at stays dirty if it fails' c/dirty.c \
    's/ | d->held\[word\]) & mask/) \& mask/' c $dirty
mutate 'a look that fails resets nothing' c/dirty.c \
    's/    if (r != 0 && reset)/    if (false)/' c $dirty
mutate 'a number is refused that is not aligned' c/number.c \
    's/    if (((uintptr_t)view->data + off) & (width - 1))/    if (false)/' c test_number
mutate 'what mv_protect forbids is not written through the file' c/through.c \
    's/return !atomic_load(&view->was_protected) \&\&/return/' c test_through
mutate 'the limit of file sizes makes no signal' c/through.c \
    's/mv__resize_check_limit(view->geometry.offset + off + n, NULL) == 0/true/' c test_through
mutate 'a file that was cut is not made long again' c/through.c \
    's/    if (r == 0 \&\& length <= at)/    if (false)/; s/    if (n > length - at)/    if (false)/' c test_through
mutate 'a shrink and a write through the file take turns' c/resize.c \
    's/pthread_mutex_\(un\)*lock(&view->through_lock);//' c test_through
mutate 'a child of fork waits for no lock' c/through.c \
    's/    if (mv__view_own(view, NULL) != 0)/    if (false)/' c test_through
mutate 'a child of fork begins no write-back' c/through.c \
    's/ || mv__view_own(view, NULL) != 0)/)/' c test_through
mutate 'a random view does not store' c/copy.c \
    's/^    if (view->through \&\& write)$/    if (false)/' c test_through
mutate 'memory and tmpfs are stored to' c/through.c \
    's/return kind == MV__FS_PLAIN || kind == MV__FS_COPY_ON_WRITE;/return true;/' c test_through
mutate 'a failed write-back is the next sync'"'"'s' c/sync.c \
    's/    if (r < 0 \&\& !is_unsupported(r))/    if (false)/' c test_through
mutate 'private copies are not dropped for a rewrite' c/rewrite.c \
    's/    if (!view->shared)/    if (false)/' c test_rewrite
mutate 'small folios are not dropped' c/rewrite.c \
    's/    if (kept == 0)/    if (kept + 1 != 0)/' c test_rewrite
mutate 'nothing is dropped on a kernel that cannot populate' c/rewrite.c \
    's/    if (!mv__caps_populate())/    if (false)/' c test_rewrite
mutate 'an append moves the end only when all is there' c/append.c \
    's/    if ((uint64_t)written < n)/    if (false)/; s/        return append_failed(err, (int)written);/        written = 0;/' c test_append
mutate 'an appender does not undo the growth of others' c/append.c \
    's/    if (needed <= size)/    if (false)/; s/mv__resize_grow(a->view, /mv_resize(a->view, /' c test_append
mutate 'a step without room is made smaller' c/append.c \
    's/    } else if (whole > needed) {/    } else if (false) {/' c test_append
mutate 'an appender does not go on over a view made smaller' c/append.c \
    's/^    if (end > size)$/    if (false)/' c test_append
mutate 'the thread of an appender is gone at its close' c/append.c \
    's/^    mv__sys.join_thread(a->thread);//' c test_append_threads
mutate 'the thread of an appender takes no signals' c/sys_linux.c \
    's/^    pthread_sigmask(SIG_SETMASK, &blocked, &before);/    pthread_sigmask(SIG_SETMASK, NULL, \&before);/' c test_append_threads
mutate 'an appender is closed in its own process alone' c/append.c \
    's/    if (own \&\& a->has_thread)/    if (a->has_thread)/' c test_append_threads
mutate 'Go: a random view writes through the file' go/access.go \
    's/if v.scatters || !v.copy/if !v.copy/' in_go Random
mutate 'Go: a fault elsewhere is somebody else'"'"'s' go/access.go \
    's/return ok && v.first <= address && address < v.end/return ok || address != 0/' in_go .
mutate 'Go: another panic goes on' go/access.go \
    's/if r != nil && !v.owns(r) {/if r != nil \&\& !v.owns(r) \&\& false {/' in_go .
mutate 'Go: another panic goes on under Do' go/do.go \
    's/^\tpanic(r)$/\treturn nil/' in_go .
mutate 'Go: what went before a fault is counted' go/access.go \
    's/^\tn, f := coreRead(v.c, p, off)/\tn, f := coreRead(v.c, p, off)\n\tn = 0/' in_go .
mutate 'Go: and in writing' go/access.go \
    's/^\tn, f := coreWrite(v.c, p, off)/\tn, f := coreWrite(v.c, p, off)\n\tn = 0/' in_go .
mutate 'Go: the goroutine is as before' go/access.go \
    's/^\tdebug.SetPanicOnFault(panicOnFault)/\t_ = panicOnFault/' in_go .
mutate 'Go: a read looks at the size again' go/access.go \
    's/if v.size.Load() < size { .. what lies/if false { \/\/ what lies/' in_go ShrinkShows
mutate 'shared memory is no link to elsewhere' c/open.c \
    's/^    o->flags |= MV_OPEN_NOFOLLOW;//' c test_memory
mutate 'the name of memory has no folder in it' c/source.c \
    's/ || memchr(name + 1, .\/., n - 1))/)/' c test_memory
mutate 'growth does not show what was stored behind the end' c/resize.c \
    's/^        long r = clear_tail(view, fd, length);/        long r = 0;/' in_go FuzzOperations
mutate 'a private view takes what was appended to its last page' c/resize.c \
    's/^    if (view->shared || !view->writable || past == 0 || size <= now)/    if (size > 0)/' in_go FuzzOperations
mutate 'what a link of /proc leads to is no name of it' c/source.c \
    's/    \*direct = fd >= 0 \&\& /    *direct = /' c test_source
mutate 'sealed memory is asked before a smaller size is shown' c/resize.c \
    's/    if (sealed < 0)/    if (false)/' c test_resize
mutate 'shrinking does not cut what somebody has appended' c/resize.c \
    's/^    if (size < now && length > offset + now)/    if (false)/' in_go FuzzOperations
mutate 'Go: what is private is not sent from the file' go/sendfile.go \
    's/ || v.private / /' in_go Send
mutate 'Go: what may not be read is not sent' go/sendfile.go \
    's/ || v.unreadable.Load() / /' in_go Send
mutate 'Go: a packet is not sent in parts' go/sendfile.go \
    's/ || !isStream(out) / /' in_go Send
mutate 'Go: what is sent is in the view' go/sendfile.go \
    's/min(c.v.size.Load()-c.off, sendMost)/int64(1 << 30)/' in_go Send
mutate 'Go: records do not go behind a cut' go/appender.go \
    's/^\tcase size < a.end:/\tcase false:/' in_go Appender
mutate 'Go: a step that finds no room is not the last word' go/appender.go \
    's/more <= size || a.v.growTo(more) != nil {/more <= size {/; s/^\t\treturn a.v.growTo(size)$/&\n\t} else if true {\n\t\treturn a.v.growTo(more)/' in_go Appender
mutate 'Go: a blank field is a field' go/typed.go \
    's/^\t\t\tf := t.Field(i)/&\n\t\t\tif f.Name == "_" {\n\t\t\t\tcontinue\n\t\t\t}/' in_go Typed
mutate 'Go: a file of a DirFS does not grow' go/dirfs.go \
    's/&Options{Length: info.Size()}/nil/' in_go DirFS
mutate 'ranges are checked before one is read' c/advice.c \
    's/^        r = mv__view_span(view, ranges\[i\].offset, ranges\[i\].length, &span, err);/        span = (struct mv__span){0, 1};/' \
    c test_advice
mutate 'Go: what is cold is left to the kernel' go/access.go \
    's/^\tif h != nil {$/\tif false {/' in_go Cold
mutate 'Go: what was seen is forgotten' go/heat.go \
    's/bits.Store(0)/_ = bits/' in_go Ageing
mutate 'Go: what is closed and lent waits' go/lifetime.go \
    's/case l.closed && lent:/case l.closed \&\& lent \&\& false:/' in_go 'LifetimeStorm|StaleSlice'
mutate 'Go: no handler of C' go/open.go \
    's/p.flags = openNoHandler/p.flags = 0/' in_go .
mutate 'mmapgo: a part of a map is not unmapped' go/mmapgo/registry.go \
    's/ || len(m) != p.length {/ {/' in_go . mmapgo
mutate 'mmapgo: a part of a map is inside of it' go/mmapgo/registry.go \
    's/if off > int64(p.length) ||.*{/if off < 0 {/' in_go . mmapgo
mutate 'mmapgo: a part is flushed where it lies' go/mmapgo/mmap.go \
    's/SyncRange(off, has,/SyncRange(0, has,/' in_go . mmapgo
mutate 'mmapgo: what is not there yet is not flushed' go/mmapgo/mmap.go \
    's/if has := min(n, known-off); has > 0/if has := n; has > 0/' in_go . mmapgo
mutate 'Go: a size that may be taken back is waited for' go/view.go \
    's/		if shrinks&1 == 0 \&\& v.shrinks.Load() == shrinks {/		if shrinks == 0 || true {/' in_go FailingResize
mutate 'Go: a write across the end tells so' go/access.go \
    's/		err = io.ErrShortWrite$/		err = nil/' in_go WriteAcross
mutate 'mmapgo: nothing executable' go/mmapgo/mmap.go \
    's/case prot&EXEC != 0:/case false:/' in_go . mmapgo
mutate 'past the caches goes what was prepared, once' c/rewrite.c \
    's/off < from || off >= to || n > to - off/off >= to/' c test_rewrite

[ -z "$survived" ] || fail "no test saw these go:$survived"
passed "of $number, $caught guards taken out, each seen by a test"
