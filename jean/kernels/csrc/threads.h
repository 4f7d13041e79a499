// A pool of worker threads. They are started at the first call that needs them, sleep between calls, and never end:
// starting a thread takes longer than many calls of a training step.
#pragma once
#include <pthread.h>
#include <signal.h>
#include <stdint.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

namespace {

// The work of one call, on the stack of the calling thread.
struct Job {
  void (*run)(const void* work, std::atomic<long>* next, long tasks, int worker);
  const void* work;
  long tasks;
  int wanted;      // helpers that may still join
  int joined = 0;  // helpers so far; the index of the next one
  int inside = 0;  // helpers at work
  std::atomic<long> next{0};
};

// Any number of threads may call at once. A caller does the work itself, helped by free threads, and waits only for
// helpers that have begun. So callers cannot block each other.
class Helpers {
 public:
  void help(Job& job) {
    const int wanted = job.wanted;  // helpers count it down when they join
    {
      std::lock_guard<std::mutex> hold(lock_);
      open_.push_back(&job);
      while (threads_ < wanted && start()) {
      }
    }
    for (int i = 0; i < wanted; ++i) work_.notify_one();
    job.run(job.work, &job.next, job.tasks, 0);
    std::unique_lock<std::mutex> hold(lock_);
    for (auto at = open_.begin(); at != open_.end(); ++at)
      if (*at == &job) {
        open_.erase(at);
        break;
      }
    done_.wait(hold, [&] { return job.inside == 0; });
  }

 private:
  // Starts one more thread; false if that fails. Signals are blocked in it, since Python's threads handle them.
  bool start() {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = true;
    try {
      std::thread([this] { live(); }).detach();
      ++threads_;
    } catch (const std::system_error&) {
      started = false;
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return started;
  }

  void live() {
    std::unique_lock<std::mutex> hold(lock_);
    for (;;) {
      work_.wait(hold, [&] { return !open_.empty(); });
      Job& job = *open_.front();
      const int worker = ++job.joined;
      ++job.inside;
      if (--job.wanted == 0) open_.pop_front();
      hold.unlock();
      job.run(job.work, &job.next, job.tasks, worker);
      hold.lock();
      // the job may be destroyed once the lock is released: its owner reads `inside` under the lock
      if (--job.inside == 0) done_.notify_all();
    }
  }

  std::mutex lock_;
  std::condition_variable work_, done_;
  std::deque<Job*> open_;  // jobs that need more helpers, first come, first served
  int threads_ = 0;
};

// Never destroyed: its threads outlive the destructors of an ending process. A forked child has neither these threads
// nor the holder of the lock, so it creates its own pool.
std::atomic<Helpers*> helpers_of_process{nullptr};

Helpers& helpers() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { helpers_of_process.store(nullptr); });
  (void)registered;
  Helpers* there = helpers_of_process.load();
  if (!there) {
    Helpers* made = new Helpers;
    if (helpers_of_process.compare_exchange_strong(there, made)) return *made;
    delete made;  // another thread was first
  }
  return *there;
}

// Calls work(task, worker) for every task. The result of a task must not depend on which worker computes it.
template <class Work>
void share_out(long tasks, int64_t threads, const Work& work) {
  const long most = threads < tasks ? (long)threads : tasks;
  Job job;
  job.run = [](const void* work, std::atomic<long>* next, long tasks, int worker) {
    for (long task; (task = next->fetch_add(1)) < tasks;) (*(const Work*)work)(task, worker);
  };
  job.work = &work;
  job.tasks = tasks;
  job.wanted = (int)most - 1;
  if (job.wanted > 0) {
    helpers().help(job);
  } else {
    job.run(job.work, &job.next, job.tasks, 0);
  }
}

}  // namespace
