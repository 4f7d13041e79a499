// Threads that wait for work. They are started at the first call that wants them, sleep between calls, and are never
// ended: to start one takes longer than many a call of a training step.
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

// One call's work, on the stack of the thread that asks for it.
struct Job {
  void (*run)(const void* work, std::atomic<long>* next, long tasks, int worker);
  const void* work;
  long tasks;
  int wanted;      // helpers that may still join
  int joined = 0;  // helpers so far; a helper's number
  int inside = 0;  // helpers at work
  std::atomic<long> next{0};
};

// Any number of threads may ask at once. Whoever asks does the work itself, helped by those that are free, and waits
// only for helpers that have begun: nothing can wait for ever.
class Helpers {
 public:
  void help(Job& job) {
    const int wanted = job.wanted;  // those who join count it down
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
  // One thread more; false where none is to be had. Signals are for the threads that Python knows.
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
      // the job may be gone as soon as the lock is: its owner looks at `inside` under it
      if (--job.inside == 0) done_.notify_all();
    }
  }

  std::mutex lock_;
  std::condition_variable work_, done_;
  std::deque<Job*> open_;  // jobs that want more helpers, in the order they came
  int threads_ = 0;
};

// Never destroyed: its threads outlive the destructors of a process that ends. A forked child has none of them, nor
// who might have held the lock, and begins anew.
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

// Calls work(task, worker) for every task. Which worker does which task is left open; what a task computes must not
// depend on it.
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
