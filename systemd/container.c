// SPDX-License-Identifier: LGPL-2.1-or-later
#include "container.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"

#define HEX "0123456789abcdef"
#define ALNUM "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

/// One name of a path; borrowed.
struct name {
	const char *p;
	size_t len;
};

static bool skip(struct name *n, const char *prefix)
{
	size_t len = strlen(prefix);
	if (n->len < len || memcmp(n->p, prefix, len) != 0)
		return false;
	n->p += len;
	n->len -= len;
	return true;
}

static bool drop(struct name *n, const char *suffix)
{
	size_t len = strlen(suffix);
	if (n->len < len || memcmp(n->p + n->len - len, suffix, len) != 0)
		return false;
	n->len -= len;
	return true;
}

static bool has_only(struct name n, const char *allowed)
{
	for (size_t i = 0; i < n.len; i++)
		if (!n.p[i] || !strchr(allowed, n.p[i]))
			return false;
	return n.len;
}

static void copy(struct name n, char *ret, size_t size)
{
	if (n.len >= size)
		return;
	memcpy(ret, n.p, n.len);
	ret[n.len] = '\0';
}

static void set_runtime(struct container *c, const char *runtime)
{
	(void)snprintf(c->runtime, sizeof(c->runtime), "%s", runtime);
}

// ---- control groups ----------------------------------------------------------------------------

/// Labels of letters, digits and "-", with dots between them, which hosts, pods and machines have.
static bool is_host(struct name n)
{
	return n.len <= 253 && has_only(n, ALNUM "-.") && n.p[0] != '-' && n.p[0] != '.' &&
	       n.p[n.len - 1] != '-' && n.p[n.len - 1] != '.';
}

/// What a runtime calls the group of a container, with systemd before the id, by hand as it is.
static bool take_id(struct container *c, struct name n)
{
	static const struct {
		const char *prefix, *runtime;
	} prefixes[] = {
		{ "docker-", "docker" },     { "cri-containerd-", "containerd" },
		{ "nerdctl-", "containerd" }, { "containerd-", "containerd" },
		{ "crio-", "cri-o" },	     { "libpod-", "podman" },
		{ "podman-", "podman" },
	};
	const char *runtime = NULL;
	(void)drop(&n, ".scope");
	for (size_t i = 0; i < ARRAY_SIZE(prefixes) && !runtime; i++)
		if (skip(&n, prefixes[i].prefix))
			runtime = prefixes[i].runtime;
	// Not "crio-conmon-ID": that is who watches the container, outside of it.
	if (n.len != CONTAINER_ID_DIGITS || !has_only(n, HEX))
		return false;
	copy(n, c->id, sizeof(c->id));
	if (*c->machine) // which it is in
		c->machine[0] = c->runtime[0] = '\0';
	if (runtime)
		set_runtime(c, runtime);
	return true;
}

/// "pod01234567-89ab-...": by hand, "kubepods-burstable-pod01234567_89ab_....slice": by systemd.
static void take_pod(struct container *c, struct name n)
{
	static const char pattern[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	char uid[sizeof(c->pod_uid)] = "";
	if (drop(&n, ".slice"))
		while (n.len && !(n.len > 3 && !memcmp(n.p, "pod", 3) && strchr(HEX, n.p[3]))) {
			const char *dash = memchr(n.p, '-', n.len);
			if (!dash)
				return;
			n.len -= (size_t)(dash + 1 - n.p);
			n.p = dash + 1;
		}
	if (!skip(&n, "pod") || !n.len || n.len >= sizeof(uid))
		return;
	for (size_t i = 0; i < n.len; i++) {
		char ch = n.p[i] == '_' ? '-' : n.p[i];
		bool digit = strchr(HEX, ch) && ch;
		bool expected = n.len == 32 || (n.len == sizeof(pattern) - 1 && pattern[i] == 'x');
		if (expected ? !digit : ch != '-' || n.len != sizeof(pattern) - 1)
			return;
		uid[i] = ch;
	}
	if (n.len == 32 || n.len == sizeof(pattern) - 1)
		memcpy(c->pod_uid, uid, sizeof(uid));
}

/// Undoes "\x2d", as systemd writes it into names of units; false if it is no name of a host.
static bool unescape_host(struct name n, char ret[static CONTAINER_TEXT_MAX + 1])
{
	size_t out = 0;
	for (size_t i = 0; i < n.len && out < CONTAINER_TEXT_MAX; out++) {
		bool dash = n.len - i >= 4 && !memcmp(n.p + i, "\\x2d", 4);
		ret[out] = dash ? '-' : n.p[i];
		i += dash ? 4 : 1;
	}
	ret[out] = '\0';
	if (is_host((struct name){ ret, out }))
		return true;
	*ret = '\0';
	return false;
}

static bool take_machine(struct container *c, struct name n)
{
	static const struct {
		const char *prefix, *suffix, *runtime;
	} forms[] = {
		{ "machine-", ".scope", "nspawn" },
		{ "systemd-nspawn@", ".service", "nspawn" },
		{ "lxc.payload.", "", "lxc" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		struct name rest = n;
		// Virtual machines are "machine-qemu\x2d1\x2dNAME.scope".
		if (!skip(&rest, forms[i].prefix) || !drop(&rest, forms[i].suffix) ||
		    skip(&rest, "qemu\\x2d") || !unescape_host(rest, c->machine))
			continue;
		set_runtime(c, forms[i].runtime);
		c->id[0] = '\0';
		return true;
	}
	return false;
}

/// Folders that say whose the ids in them are, where the ids themselves do not.
static const char *runtime_of_folder(struct name n)
{
	static const char *const folders[][2] = {
		{ "docker", "docker" },	       { "libpod_parent", "podman" },
		{ "buildkit", "docker" },      { "lxc", "lxc" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (n.len == strlen(folders[i][0]) && !memcmp(n.p, folders[i][0], n.len))
			return folders[i][1];
	return NULL;
}

void container_from_cgroup(const char *path, struct container *ret)
{
	struct container c = { 0 };
	const char *folder = NULL;
	for (const char *p = path; *p;) {
		p += strspn(p, "/");
		struct name n = { p, strcspn(p, "/") };
		p += n.len;
		bool inner = take_id(&c, n); // the innermost one counts
		if (inner && folder && !*c.runtime)
			set_runtime(&c, folder);
		// containerd: "cri-containerd:ID" or "/kubepods/.../SLICE:cri-containerd:ID".
		const char *colon = n.len ? memrchr(n.p, ':', n.len) : NULL;
		if (!inner && colon) {
			struct name last = { colon + 1, (size_t)(n.p + n.len - colon - 1) };
			if (take_id(&c, last))
				set_runtime(&c, "containerd");
		}
		if (!inner && !take_machine(&c, n))
			take_pod(&c, colon ? (struct name){ n.p, strcspn(n.p, ":") } : n);
		folder = runtime_of_folder(n);
	}
	*ret = c;
}

// ---- mounts ------------------------------------------------------------------------------------

void container_add_mounts(struct container *c, const char *mountinfo)
{
	char key[80];
	if (!*c->pod_uid)
		return;
	(void)snprintf(key, sizeof(key), "/pods/%s/containers/", c->pod_uid);
	for (const char *p = mountinfo; p && *p;) {
		size_t len = strcspn(p, "\n");
		// "MOUNT PARENT MAJOR:MINOR ROOT POINT ...": blanks in names are "\040".
		const char *field[5] = { p };
		for (size_t i = 1; i < ARRAY_SIZE(field); i++) {
			const char *from = field[i - 1];
			const char *blank =
				from ? memchr(from, ' ', (size_t)(p + len - from)) : NULL;
			field[i] = blank ? blank + 1 : NULL;
		}
		const char *name = field[4] ? memmem(field[3], (size_t)(field[4] - field[3]), key,
						     strlen(key)) :
					      NULL;
		if (name) {
			struct name n = { name + strlen(key), 0 };
			n.len = strcspn(n.p, "/ \n");
			if (is_host(n))
				copy(n, c->name, sizeof(c->name));
			return;
		}
		p += len + (p[len] == '\n');
	}
}

// ---- environment -------------------------------------------------------------------------------

/// Registry, path, tag and digest: "registry.example:5000/a/b:1.2@sha256:...".
static bool is_image(struct name n)
{
	return has_only(n, ALNUM "._-/:@+") && strchr(ALNUM, n.p[0]);
}

void container_add_environ(struct container *c, const char *strings, size_t len)
{
	const struct {
		const char *key;
		char *value;
		bool image;
	} known[] = {
		// What comes first wins: names that people have agreed on, then what runtimes set.
		{ "POD_NAME=", c->pod, false },
		{ "MY_POD_NAME=", c->pod, false },
		{ "K8S_POD_NAME=", c->pod, false },
		{ "KUBERNETES_POD_NAME=", c->pod, false },
		{ "POD_NAMESPACE=", c->pod_namespace, false },
		{ "MY_POD_NAMESPACE=", c->pod_namespace, false },
		{ "K8S_NAMESPACE=", c->pod_namespace, false },
		{ "KUBERNETES_NAMESPACE=", c->pod_namespace, false },
		{ "CONTAINER_NAME=", c->name, false },
		{ "CONTAINER_IMAGE=", c->image, true },
		{ "IMAGE_NAME=", c->image, true },
		{ "HOSTNAME=", c->pod, false },
	};
	if (!*c->id && !*c->machine)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		// The name of a host is that of the pod only in a pod.
		if (*known[i].value || (!*c->pod_uid && known[i].value == c->pod))
			continue;
		for (size_t pos = 0; pos < len;) {
			struct name n = { strings + pos, strnlen(strings + pos, len - pos) };
			pos += n.len + 1;
			if (!skip(&n, known[i].key))
				continue;
			if (n.len <= CONTAINER_TEXT_MAX &&
			    (known[i].image ? is_image(n) : is_host(n)))
				copy(n, known[i].value, CONTAINER_TEXT_MAX + 1);
			break;
		}
	}
}
