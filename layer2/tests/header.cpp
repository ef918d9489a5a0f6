#include "header.h"

int main()
{
    return header_test();
}
