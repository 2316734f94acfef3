/* A plain C program over libnrt: says what every call ends with, one line each.
 *
 *   run_nrt MODEL.neff          everything
 *   run_nrt MODEL.neff leave    ends while its threads call
 *
 * The model takes and gives one float32[3]. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "nrt.h"

enum { SIZE = 3 * sizeof(float), CALLS = 50 };

static void say(const char *what, NRT_STATUS status) {
  printf("%s: %s\n", what, nrt_get_status_as_str(status));
  fflush(stdout);
}

static void *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    exit(2);
  }
  *size = (size_t)ftell(file);
  void *bytes = malloc(*size);
  rewind(file);
  if (fread(bytes, 1, *size, file) != *size) {
    exit(2);
  }
  fclose(file);
  return bytes;
}

static size_t used(uint32_t vnc) {
  nrt_vnc_memory_stats_t stats;
  size_t written = 0;
  if (nrt_get_vnc_memory_stats(vnc, &stats, sizeof stats, &written) != NRT_SUCCESS ||
      written != sizeof stats) {
    exit(3);
  }
  return stats.bytes_used;
}

static nrt_tensor_t *tensor(const char *name) {
  nrt_tensor_t *made = NULL;
  if (nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, 0, SIZE, name, &made) != NRT_SUCCESS) {
    exit(4);
  }
  return made;
}

static nrt_tensor_set_t *set_of(const char *name, nrt_tensor_t *tensor) {
  nrt_tensor_set_t *set = NULL;
  if (nrt_allocate_tensor_set(&set) != NRT_SUCCESS ||
      nrt_add_tensor_to_tensor_set(set, name, tensor) != NRT_SUCCESS) {
    exit(5);
  }
  return set;
}

static void before_init(void) {
  uint32_t total = 0, visible = 0;
  nrt_version_t version;
  nrt_instance_info_t instance;
  nrt_tensor_set_t *set = NULL;
  nrt_model_t *model = NULL;
  say("total", nrt_get_total_nc_count(&total));
  say("visible", nrt_get_visible_vnc_count(&visible));
  say("version", nrt_get_version(&version, sizeof version));
  say("instance", nrt_get_instance_info(&instance, sizeof instance));
  printf("%" PRIu32 " of %" PRIu32 " cores, libnrt %" PRIu64 ".%" PRIu64 ", family %" PRIu32
         ", %s\n", visible, total, version.rt_major, version.rt_minor, instance.family,
         instance.arch_name);
  say("set before init", nrt_allocate_tensor_set(&set));
  say("load before init", nrt_load("", 0, -1, -1, &model));
  say("bad framework", nrt_init(NRT_FRAMEWORK_TYPE_INVALID, "", ""));
}

static void tell_info(nrt_model_t *model) {
  nrt_tensor_info_array_t *info = NULL;
  uint32_t count = 0;
  say("info", nrt_get_model_tensor_info(model, &info));
  if (info == NULL) {
    exit(6);
  }
  for (uint64_t i = 0; i < info->tensor_count; ++i) {
    const nrt_tensor_info_t *t = &info->tensor_array[i];
    printf("%s %s: %zu bytes, dtype %d, %" PRIu32 " dimension of %" PRIu32 "\n",
           t->usage == NRT_TENSOR_USAGE_INPUT ? "input" : "output", t->name, t->size, t->dtype,
           t->ndim, t->shape[0]);
  }
  say("free info", nrt_free_model_tensor_info(info));
  nrt_model_info_t where = {99};
  size_t written = 0;
  say("model info", nrt_get_model_info(model, &where, sizeof where, &written));
  say("instances", nrt_get_model_instance_count(model, &count));
  printf("%" PRIu32 " instance from core %" PRIu32 " on\n", count, where.vnc);
}

struct work {
  nrt_model_t *model;
  float start;
  int wrong;
  nrt_tensor_set_t *in, *out;
};

static void *repeat(void *argument) {
  struct work *work = argument;
  const float given[3] = {work->start, work->start, work->start};
  nrt_tensor_t *x = tensor("x"), *y = tensor("y");
  nrt_tensor_set_t *in = set_of("x", x), *out = set_of("output0", y);
  nrt_tensor_write(x, given, 0, SIZE);
  for (int call = 0; call < CALLS; ++call) {
    float made[3] = {0, 0, 0};
    work->wrong += nrt_execute(work->model, in, out) != NRT_SUCCESS;
    nrt_tensor_read(y, made, 0, SIZE);
    for (int i = 0; i < 3; ++i) {
      work->wrong += made[i] != work->start * (float)(i + 1);
    }
  }
  nrt_destroy_tensor_set(&in);
  nrt_destroy_tensor_set(&out);
  nrt_tensor_free(&x);
  nrt_tensor_free(&y);
  return NULL;
}

static void on_two_threads(nrt_model_t *model) {
  struct work works[2] = {{.model = model, .start = 1.0f}, {.model = model, .start = 10.0f}};
  pthread_t threads[2];
  for (int i = 0; i < 2; ++i) {
    pthread_create(&threads[i], NULL, repeat, &works[i]);
  }
  for (int i = 0; i < 2; ++i) {
    pthread_join(threads[i], NULL);
  }
  printf("wrong on two threads: %d\n", works[0].wrong + works[1].wrong);
}

static void tensors(void) {
  const unsigned char bytes[4] = {1, 2, 3, 4};
  unsigned char got[SIZE] = {0};
  unsigned char own[8] = {0};
  nrt_tensor_t *whole = tensor("whole"), *part = NULL, *empty = NULL, *huge = NULL, *found = NULL;
  const size_t before = used(0);
  say("slice", nrt_tensor_allocate_slice(whole, 4, 4, "part", &part));
  say("write slice", nrt_tensor_write(part, bytes, 0, 4));
  say("memset", nrt_tensor_memset(whole, 10, 7, 2));
  nrt_tensor_free(&whole);
  say("read slice", nrt_tensor_read(part, got, 0, 4));
  printf("%d %d %d %d, %zu bytes\n", got[0], got[1], got[2], got[3], nrt_tensor_get_size(part));
  say("read outside", nrt_tensor_read(part, got, 2, 4));
  say("slice outside", nrt_tensor_allocate_slice(part, 4, 1, "", &found));
  say("empty", nrt_tensor_allocate_empty("empty", &empty));
  say("write empty", nrt_tensor_write(empty, bytes, 0, 4));
  say("attach", nrt_tensor_attach_buffer(empty, own, sizeof own));
  say("copy", nrt_tensor_copy(part, 1, empty, 4, 3));
  printf("%d %d %d, own memory: %d\n", own[4], own[5], own[6],
         nrt_tensor_get_va(empty) == (void *)own);
  nrt_tensor_set_t *set = set_of("a", empty);
  say("find", nrt_get_tensor_from_tensor_set(set, "a", &found));
  printf("same handle: %d\n", found == empty);
  say("find none", nrt_get_tensor_from_tensor_set(set, "b", &found));
  nrt_destroy_tensor_set(&set);
  say("too large", nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, 0, (size_t)1 << 40, "", &huge));
  say("no such core", nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_DEVICE, 99, 8, "", &huge));
  nrt_tensor_t *stale = part;
  nrt_tensor_free(&part);
  nrt_tensor_free(&empty);
  say("read freed", nrt_tensor_read(stale, got, 0, 1));
  printf("freed: %d, given back: %zu\n", part == NULL, before - used(0));
}

static void refusals(nrt_model_t *model) {
  nrt_tensor_t *x = tensor("x"), *small = NULL;
  nrt_tensor_allocate(NRT_TENSOR_PLACEMENT_HOST, -1, 4, "small", &small);
  nrt_tensor_set_t *in = set_of("x", x), *wrong = set_of("nothing", x), *out = set_of("output0", x);
  nrt_tensor_set_t *shorter = set_of("x", small);
  say("missing tensor", nrt_execute(model, wrong, out));
  say("wrong size", nrt_execute(model, shorter, out));
  say("not a set", nrt_execute(model, in, (nrt_tensor_set_t *)x));
  say("no set", nrt_execute(model, NULL, out));
  say("null", nrt_tensor_write(x, NULL, 0, SIZE));
  say("in place", nrt_execute(model, in, out));
  say("unload", nrt_unload(model));
  say("use after unload", nrt_execute(model, in, out));
  say("unload again", nrt_unload(model));
}

static void *for_ever(void *argument) {
  struct work *work = argument;
  while (nrt_execute(work->model, work->in, work->out) == NRT_SUCCESS) {
  }
  pause(); /* the process is ending */
  return NULL;
}

static int leave(const void *neff, size_t size) {
  static struct work work;
  pthread_t thread;
  nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "", "");
  if (nrt_load(neff, size, -1, -1, &work.model) != NRT_SUCCESS) {
    return 3;
  }
  work.in = set_of("x", tensor("x"));
  work.out = set_of("output0", tensor("y"));
  for (int i = 0; i < 8; ++i) {
    pthread_create(&thread, NULL, for_ever, &work);
  }
  const struct timespec moment = {0, 100000000};
  nanosleep(&moment, NULL);
  puts("leaving");
  return 0;
}

int main(int argc, char **argv) {
  size_t size = 0;
  nrt_model_t *model = NULL;
  if (argc < 2) {
    return 2;
  }
  char *neff = read_file(argv[1], &size);
  if (argc == 3) {
    return leave(neff, size);
  }
  before_init();
  say("init", nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, "2.0", NULL));
  say("bad NEFF", nrt_load("not a NEFF at all", 17, -1, -1, &model));
  say("truncated NEFF", nrt_load(neff, size - 1, -1, -1, &model));
  say("no such core", nrt_load(neff, size, 99, -1, &model));
  say("too many cores", nrt_load(neff, size, 0, 99, &model));
  const size_t before = used(0);
  say("load", nrt_load(neff, size, 0, -1, &model));
  memset(neff, 0, size); /* the runtime has its own copy */
  printf("the model takes memory: %d\n", used(0) > before);
  tell_info(model);
  on_two_threads(model);
  tensors();
  refusals(model);
  free(neff);
  neff = read_file(argv[1], &size);
  say("load twice", nrt_load(neff, size, 0, -1, &model));
  nrt_close();
  say("load after close", nrt_load(neff, size, -1, -1, &model));
  nrt_close();
  say("init again", nrt_init(NRT_FRAMEWORK_TYPE_NO_FW, NULL, NULL));
  say("load again", nrt_load(neff, size, -1, -1, &model));
  on_two_threads(model);
  free(neff);
  fflush(stdout);
  if (fork() == 0) {
    nrt_tensor_set_t *set = NULL;
    say("child", nrt_allocate_tensor_set(&set));
    _exit(0);
  }
  wait(NULL);
  return 0; /* without nrt_unload and nrt_close: the end of the process does it */
}
