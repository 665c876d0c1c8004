// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crashask.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/fd.h"
#include "systemd/procid.h"

/// As the hook has it.
static const char *const actions[CRASH_ACTION_MAX] = {
	[CRASH_KEEP] = "keep",
	[CRASH_STACKS] = "stacks",
	[CRASH_NONE] = "drop",
};

static struct procid *read_id(int folder, const struct json *facts)
{
	struct procid *id = NULL;
	pid_t pid = (pid_t)json_get_u64(facts, "pid", 0);
	_cleanup_close_ int proc =
		openat(folder, "proc", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (proc < 0)
		return NULL;
	snap_error_destroy(procid_create_at(proc, pid, 0, &id));
	return id;
}

static struct json *describe(const struct crash_verdict *verdict)
{
	struct json *answer = json_new_object();
	json_set_bool(answer, "decided", true);
	json_set_text(answer, "action", actions[verdict->action]);
	if (verdict->max_bytes != UINT64_MAX)
		json_set_u64(answer, "max_bytes", verdict->max_bytes);
	if (*verdict->reason)
		json_set_text(answer, "reason", verdict->reason);
	if (verdict->suppressed)
		json_set_u64(answer, "suppressed", verdict->suppressed);
	return answer;
}

/// @place is NULL also when @early.
static void decide(struct crashpolicy *policy, const struct config *config, int folder,
		   const struct json *facts, const struct json *place, bool early,
		   struct crash_verdict *ret)
{
	_cleanup_(procid_destroyp) struct procid *id = read_id(folder, facts);
	const struct crash_facts crash = {
		.uid = (uid_t)json_get_u64(facts, "uid", (uid_t)-1),
		.signal = (int)json_get_u64(facts, "signal", 0),
		.rlimit = json_get_u64(facts, "rlimit", UINT64_MAX),
		.dumpable = (int)json_get_u64(facts, "dumpable", (uint64_t)-1),
		.exe = id ? procid_text(id, PROCID_EXE) : NULL,
		.comm = id ? procid_text(id, PROCID_COMM) : NULL,
		.unit = id ? procid_text(id, PROCID_UNIT) : NULL,
		.user_unit = id ? procid_text(id, PROCID_USER_UNIT) : NULL,
		.cgroup = id ? procid_text(id, PROCID_CGROUP) : NULL,
		.module = json_get_text(place, "module"),
		.offset = json_get_u64(place, "offset", 0),
		.callers = json_get_u64(place, "callers", 0),
		.early = early,
	};
	crashpolicy_decide(policy, config, &crash, snap_clock_ns(CLOCK_BOOTTIME), ret);
}

struct json *crashask(struct crashpolicy *policy, const struct config *config, int folder,
		      const struct json *facts, const struct json *place)
{
	struct crash_verdict verdict;
	decide(policy, config, folder, facts, place, false, &verdict);
	return describe(&verdict);
}

struct json *crashask_early(struct crashpolicy *policy, const struct config *config, int folder,
			    const struct json *facts)
{
	struct crash_verdict verdict;
	decide(policy, config, folder, facts, NULL, true, &verdict);
	if (verdict.action == CRASH_NONE)
		return describe(&verdict);
	struct json *later = json_new_object();
	json_set_bool(later, "later", true);
	return later;
}

bool crashask_drops(const struct json *answer)
{
	const char *action = json_get_text(answer, "action");
	return action && !strcmp(action, actions[CRASH_NONE]);
}
