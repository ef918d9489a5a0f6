#include "header.h"

int main(void)
{
    return header_test();
}
