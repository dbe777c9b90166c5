// The timed waits of C++'s library, of which some ask the kernel for a futex by themselves.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <future>
#include <mutex>
#include <thread>

using namespace std::chrono_literals;

static const auto begin = std::chrono::steady_clock::now();

static void tell(const char *what, int result)
{
    std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
    std::printf("%s %d at %.3f\n", what, result, passed.count());
}

int main()
{
    std::promise<int> promise;
    std::future<int> future = promise.get_future();
    std::thread worker([&] {
        std::this_thread::sleep_for(3s);
        promise.set_value(4);
    });
    tell("timed out", future.wait_for(1s) == std::future_status::timeout);
    tell("ready", future.wait_for(100s) == std::future_status::ready);
    worker.join();
    std::timed_mutex mutex;
    std::condition_variable condition;
    std::mutex guard;
    std::unique_lock<std::mutex> held(guard);
    tell("condition", condition.wait_for(held, 4s) == std::cv_status::timeout);
    mutex.lock();
    std::thread other([&] { tell("locked", mutex.try_lock_for(1500ms)); });
    other.join();
}
