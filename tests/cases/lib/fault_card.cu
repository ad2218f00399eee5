/* Preloaded into a daemon: when the file named by LF_FAULT appears, it is removed and a kernel
 * writes where nothing is, so that the process loses card 0 as by a fault of the hardware. */
#include <cuda_runtime.h>
#include <poll.h>
#include <stdlib.h>
#include <thread>
#include <unistd.h>

static __global__ void fault_kernel(int *nowhere)
{
    *nowhere = 1;
}

static void watch(const char *path)
{
    while (unlink(path) != 0)
        poll(NULL, 0, 10);
    cudaSetDevice(0);
    fault_kernel<<<1, 1>>>((int *)4096);
    cudaDeviceSynchronize();
}

static __attribute__((constructor)) void start()
{
    const char *path = getenv("LF_FAULT");
    if (path)
        std::thread(watch, path).detach();
}
