# cmake -DSOURCE=... -DVERSION=... -DOUT=... -P version.cmake: writes lf_version, the version and, where
# it is not that version's own, the commit: of the repository, or what `git archive` noted in
# .git_archival.txt. A file that would be the same is left alone, so nothing is linked again.
set(commit "")
if(EXISTS "${SOURCE}/.git")
  execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --match "v[0-9]*"
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
elseif(EXISTS "${SOURCE}/.git_archival.txt")
  file(STRINGS "${SOURCE}/.git_archival.txt" name REGEX "^describe-name: v[0-9.a-z-]+$")
  file(STRINGS "${SOURCE}/.git_archival.txt" node REGEX "^node: [0-9a-f]+$")
  if(name)
    string(REPLACE "describe-name: " "" commit "${name}")
  elseif(node)
    string(SUBSTRING "${node}" 6 7 commit)
  endif()
endif()
set(text "${VERSION}")
if(commit AND NOT commit STREQUAL "v${VERSION}")
  set(text "${VERSION} (${commit})")
endif()
file(CONFIGURE OUTPUT "${OUT}" CONTENT
  "#include \"tools/version.h\"\n\nconst char lf_version[] = \"${text}\";\n")
