"""The integer-exact engine: the same bits on every processor, with every thread count and batch.

Every number is an integer (or one times a power of two) that stands in a float64, and every sum of products
stays below 2^53, which is checked when a model is loaded. Then nothing is ever rounded by an addition, so
neither the order of a sum nor a fused multiplication can show. What is rounded on purpose is rounded by one
rule, floor(x + 1/2); what is no sum of products (square root, division) is one operation that IEEE 754
fixes to the last bit. No exponential, sine or logarithm is computed: such tables are part of the artifact.
"""
