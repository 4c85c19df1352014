/* The entry of the tool. Everything else is in the room's library, where the tests reach it. */
#include "tidemark.h"

int main(int argc, char **argv)
{
    return tide_tool_main(argc, argv);
}
