"""How models of libraries are built and captured; these modules run in processes of their own."""
