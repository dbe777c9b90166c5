/* What the clock library and the clock server say to each other.
 *
 * Every thread of the program has one stream connection. The library sends requests of 16 bytes, the server
 * answers with the 8 bytes of the virtual time in nanoseconds. Numbers are in the machine's byte order, as both
 * ends run on one machine. Closing the connection, by hand or by dying, takes the thread off the books.
 *
 *   request  answers  meaning
 *   HELLO    1        this thread exists and runs
 *   BORN     2        a thread or child is about to exist and waits for its turn: one answer now, one at its turn
 *                     Argument CLOCK_BORN_CHILD: a child, which will dial again under its own process number
 *   WAIT     1        wake me at this virtual time
 *   WATCH    1        the same, but a descriptor may wake me first (argument CLOCK_FOREVER: only a descriptor)
 *   CANCEL   0        something else ended my wait; argument 0: I take my turn, 1: I go on at once.
 *                     The wait still gets exactly one answer, whichever of the two came first
 *   SPIN     1        a WAIT of a thread that reads the clock again and again without ever waiting
 *   NAME     0        eight more bytes of the path that the next LEAVES is about
 *   LEAVES   0        a program that has no clock is about to start; argument: why, a value of clock_reach
 *   STIR     0        this thread has sent a signal, so that one which waits may be about to wake
 *
 * The current time stands in a page that the program maps read-only, so reading it costs no message.
 * subjects/clock_link.py and clock_page.py are the other end of this file.
 */
#ifndef VIRTLAB_CLOCK_PROTOCOL_H
#define VIRTLAB_CLOCK_PROTOCOL_H

#include <stdint.h>

enum clock_operation {
    CLOCK_HELLO = 1,
    CLOCK_BORN = 2,
    CLOCK_WAIT = 3,
    CLOCK_WATCH = 4,
    CLOCK_CANCEL = 5,
    CLOCK_SPIN = 6,
    CLOCK_NAME = 7,
    CLOCK_LEAVES = 8,
    CLOCK_STIR = 9,
};

enum clock_reach {
    CLOCK_REACHED = 0,
    CLOCK_STATIC = 1,
    CLOCK_GO = 2,
    CLOCK_OTHER_LOADER = 3,
};

#define CLOCK_FOREVER UINT64_MAX
#define CLOCK_BORN_THREAD 0
#define CLOCK_BORN_CHILD 1

struct clock_request {
    uint32_t operation;
    uint32_t thread_id; /* gettid() as the program sees it */
    uint64_t argument;
};

struct clock_page {
    uint64_t now_ns;               /* virtual time, 0 at the start of the scenario */
    uint64_t realtime_at_zero_ns;  /* CLOCK_REALTIME at virtual time 0 */
    uint64_t monotonic_at_zero_ns; /* CLOCK_MONOTONIC at virtual time 0 */
};

#endif
