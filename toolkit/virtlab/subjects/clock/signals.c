/* Signals to other threads and processes: the server hears of them.
 *
 * Who waits and gets one wakes some real microseconds later, and says so. Until then it looks asleep to the server,
 * which must not let time pass meanwhile.
 */
#include "library.h"

#include <pthread.h>

static int stirred(int result, int number)
{
    if (result == 0 && number != 0 && clock_on())
        tell_stir();
    return result;
}

EXPORT int kill(pid_t process, int number)
{
    return stirred(REAL(kill)(process, number), number);
}

EXPORT int killpg(pid_t group, int number)
{
    return stirred(REAL(killpg)(group, number), number);
}

EXPORT int sigqueue(pid_t process, int number, const union sigval value)
{
    return stirred(REAL(sigqueue)(process, number, value), number);
}

EXPORT int tgkill(pid_t process, pid_t thread, int number)
{
    return stirred(REAL(tgkill)(process, thread, number), number);
}

EXPORT int pthread_kill(pthread_t thread, int number)
{
    return stirred(REAL(pthread_kill)(thread, number), number);
}

EXPORT int pthread_sigqueue(pthread_t thread, int number, const union sigval value)
{
    return stirred(REAL(pthread_sigqueue)(thread, number, value), number);
}
