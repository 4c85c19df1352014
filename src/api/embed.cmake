# Writes TO, a C file that holds the bytes of FROM as tide_openapi_text. Run by the build.
file(READ ${FROM} bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${TO} "#include \"openapi.h\"\n\nconst unsigned char tide_openapi_text[] = {\n${bytes}};\n"
     "const size_t tide_openapi_size = sizeof(tide_openapi_text);\n")
