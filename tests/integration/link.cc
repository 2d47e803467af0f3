/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A C++ program that registers a service, is told of it, and discovers it.
 */
#include <libsd.h>

#include <chrono>
#include <condition_variable>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace
{

struct End {
    void operator()(libsd *sd) const
    {
        libsd_close(sd);
    }
    void operator()(libsd_discovery *discovery) const
    {
        libsd_discovery_close(discovery);
    }
    void operator()(libsd_snapshot *snapshot) const
    {
        libsd_snapshot_unref(snapshot);
    }
};

/* What a watch tells: ports by name. */
class Directory
{
  public:
    static void take(const libsd_change *change, void *self)
    {
        static_cast<Directory *>(self)->take(*change);
    }

    bool becomes(const std::map<std::string, int> &wanted)
    {
        std::unique_lock<std::mutex> lock(mutex_);

        return changed_.wait_for(lock, std::chrono::seconds(20),
                                 [&] { return instances_ == wanted; });
    }

  private:
    void take(const libsd_change &change)
    {
        std::lock_guard<std::mutex> lock(mutex_);

        if (change.type == LIBSD_OFFLINE)
            instances_.erase(change.instance->name);
        else if (change.instance != nullptr)
            instances_[change.instance->name] = change.instance->port;
        changed_.notify_all();
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, int> instances_;
};

int fail(const char *what, int rc)
{
    std::cerr << what << ": " << libsd_strerror(rc) << std::endl;
    return 1;
}

} // namespace

int main()
{
    Directory directory;
    libsd *opened = nullptr;
    libsd_discovery *watching = nullptr;
    libsd_snapshot *found = nullptr;
    libsd_picked picked;
    int rc = libsd_open(&opened, nullptr);
    std::unique_ptr<libsd, End> sd(opened);

    if (rc < 0)
        return fail("open", rc);
    rc = libsd_watch_service(sd.get(), "plus", Directory::take, &directory, &watching);
    std::unique_ptr<libsd_discovery, End> discovery(watching);
    if (rc < 0)
        return fail("watch", rc);
    rc = libsd_register(sd.get(), "plus", "one", "10.0.0.5:9090", 5, nullptr);
    if (rc < 0 || !directory.becomes({ { "one", 9090 } }))
        return fail("register", rc);
    rc = libsd_discover(sd.get(), "plus", &found, 0);
    std::unique_ptr<libsd_snapshot, End> snapshot(found);
    if (rc != 1 || libsd_snapshot_at(snapshot.get(), 0)->name != std::string("one"))
        return fail("discover", rc);
    rc = libsd_pick(sd.get(), "plus", nullptr, &picked);
    if (rc < 0 || picked.port != 9090)
        return fail("pick", rc);
    rc = libsd_deregister(sd.get(), "plus", "one", 0);
    if (rc < 0 || !directory.becomes({}))
        return fail("deregister", rc);
    return 0;
}
