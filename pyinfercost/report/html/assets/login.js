"use strict";
/* The token goes in a header, so that no address and no list of visited pages has it. */
document.getElementById("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const told = document.getElementById("told");
  fetch("/login", { headers: { Authorization: `Bearer ${document.getElementById("token").value.trim()}` } })
    .then((answer) => {
      if (answer.ok) location.replace("/");
      else told.textContent = "This is not the token.";
    })
    .catch(() => {
      told.textContent = "The server does not answer.";
    });
});
