// SPDX-License-Identifier: LGPL-2.1-or-later
#include "common/elfid.h"
#include "common/fd.h"
#include "common/str.h"
#include "gopatch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = gocore_memfd(data, size);
	char text[2 * ELF_BUILD_ID_MAX + 1];
	struct elfid id;
	if (elfid_read(fd, &id) < 0)
		return 0;
	REQUIRE(elfid_is_elf(fd) == 1);
	REQUIRE(id.build_id.size <= ELF_BUILD_ID_MAX);
	REQUIRE(strnlen(id.soname, sizeof(id.soname)) < sizeof(id.soname));
	REQUIRE(!strchr(id.soname, '/') && snap_is_printable(id.soname));
	elf_build_id_format(&id.build_id, text);
	REQUIRE(strlen(text) == 2 * id.build_id.size);
	return 0;
}
