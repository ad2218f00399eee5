# cmake -DSOURCE=... -DVERSION=... -DOUT=... -P version.cmake: writes lf_version, the version and, where
# SOURCE is a repository, the commit. A file that would be the same is left alone, so nothing is linked
# again.
set(text "${VERSION}")
if(EXISTS "${SOURCE}/.git")
  execute_process(COMMAND git -C "${SOURCE}" describe --always --dirty --match "v[0-9]*"
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed AND NOT commit STREQUAL "v${VERSION}")
    set(text "${VERSION} (${commit})")
  endif()
endif()
file(CONFIGURE OUTPUT "${OUT}" CONTENT
  "#include \"tools/version.h\"\n\nconst char lf_version[] = \"${text}\";\n")
