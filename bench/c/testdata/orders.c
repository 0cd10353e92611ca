/* orders.c: prints the orders of 5 variants in 40 rounds, and where each begins. */

#include <stdio.h>

#include "../rounds.h"

int main(void)
{
    for (int round = 0; round < 40; round++) {
        int ks[5];
        order_of(round, 5, ks);
        for (int k = 0; k < 5; k++)
            printf("%d ", ks[k]);
        for (int k = 0; k < 5; k++)
            printf("%llu ", (unsigned long long)chance(round, k + 1));
        printf("\n");
    }
    return 0;
}
