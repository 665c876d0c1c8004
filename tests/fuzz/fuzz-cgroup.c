// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fuzz.h"
#include "systemd/cgpath.h"
#include "systemd/container.h"

/// What comes out of a path can be shown, and is in the path.
static void check_name(const char *path, int (*get)(const char *path, char **ret))
{
	char *name = NULL;
	if (get(path, &name) < 0)
		return;
	REQUIRE(*name && strlen(name) < 256);
	for (const char *p = name; *p; p++)
		REQUIRE(*p > ' ' && *p < 0x7f && *p != '/');
	REQUIRE(!strcmp(name, "-.slice") || strstr(path, name));
	free(name);
}

static void check_text(const char *text, size_t size)
{
	REQUIRE(memchr(text, 0, size));
	for (; *text; text++)
		REQUIRE(*text > ' ' && *text < 0x7f);
}

static void check_container(const struct container *c)
{
	check_text(c->runtime, sizeof(c->runtime));
	check_text(c->id, sizeof(c->id));
	check_text(c->machine, sizeof(c->machine));
	check_text(c->pod_uid, sizeof(c->pod_uid));
	check_text(c->name, sizeof(c->name));
	check_text(c->pod, sizeof(c->pod));
	check_text(c->pod_namespace, sizeof(c->pod_namespace));
	check_text(c->image, sizeof(c->image));
	REQUIRE(!*c->id || strlen(c->id) == CONTAINER_ID_DIGITS);
}

/// The text of a cgroup file; the same bytes as mounts and as an environment.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size), *path = NULL;
	struct container container = { .id = "x", .pod_uid = "1" };
	uid_t uid;
	container_add_mounts(&container, text);
	container_add_environ(&container, (const char *)data, size);
	if (cgpath_from_text((const char *)data, size, &path) == 0) {
		const char *below = cgpath_below_root(path, text, strlen(text));
		REQUIRE(below >= path && below <= path + strlen(path));
		check_name(below, cgpath_unit);
		check_name(below, cgpath_user_unit);
		check_name(below, cgpath_slice);
		check_name(below, cgpath_session);
		(void)cgpath_owner_uid(below, &uid);
		container_from_cgroup(path, &container);
		container_add_mounts(&container, text);
		container_add_environ(&container, (const char *)data, size);
		check_container(&container);
	}
	free(path);
	free(text);
	return 0;
}
